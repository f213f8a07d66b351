"""Starts the proxy that injects faults, in this process. infra/stack runs it with the virtual environment's Python.

microburst makes two headers anew that have to stay: the emulator verifies signatures, which cover Host and
Content-Length, and the answer to a HEAD tells the object's size by Content-Length alone. And it looks for S3's query
parameters by the names of the model's members, UploadId, where requests say uploadId: a part would pass for a put.
"""

import sys

from emulator import die_with_parent


def with_host(headers_of):
    """Hands on the Host header that the client signed."""

    def headers(upstream, request):
        return headers_of(upstream, request) | {"host": request.headers["host"]}

    return headers


def name_queries_as_sent(operations) -> None:
    for operation in operations:
        operation["required_query"] = {name[0].lower() + name[1:] for name in operation["required_query"]}


def main() -> int:
    from microburst import forward
    from microburst.cli import main as serve
    from microburst.detection.rest import rest_operations

    forward.HOP_BY_HOP -= {"content-length"}
    forward.Upstream._outbound_headers = with_host(forward.Upstream._outbound_headers)
    # They are read once and kept.
    name_queries_as_sent(rest_operations("s3"))
    return serve()


if __name__ == "__main__":
    die_with_parent()
    sys.exit(main())
