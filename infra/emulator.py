"""Starts the AWS emulator in this process. infra/stack runs it with the virtual environment's Python.

The emulator speaks plain HTTP, while the stack's policies deny whatever does not come over TLS. A load balancer that
ends TLS says so with a header; this adds that header, so that the policies can be enforced as they are.

Parts of a multipart upload and ledger objects live in this process's memory, and go with it.
"""

import ctypes
import os
import signal
import sys


def die_with_parent() -> None:
    """Has Linux end this process when its parent is gone, even if the parent was killed outright."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != int(os.environ["ROWMILL_STACK_PID"]):
            sys.exit("the parent is already gone")


def behind_tls(app):
    """Marks each request as one that came over TLS."""

    async def marked(scope, receive, send):
        if scope["type"] == "http":
            scope["headers"] = [*scope["headers"], (b"x-forwarded-proto", b"https")]
        await app(scope, receive, send)

    return marked


def whole_concurrency(limit_of):
    """CloudFormation hands a Number parameter on as text. AWS reads it as a number; this emulator compares it as is."""

    def limit(mapping, *rest):
        scaling = mapping.get("ScalingConfig") or {}
        if isinstance(scaling.get("MaximumConcurrency"), str):
            mapping["ScalingConfig"] = {**scaling, "MaximumConcurrency": int(scaling["MaximumConcurrency"])}
        return limit_of(mapping, *rest)

    return limit


def batch_as_single(action_of):
    """AWS has no right of its own for a batch of messages: who may send one may send ten. This emulator asks for one."""

    def action(*request):
        found = action_of(*request)
        return found.removesuffix("Batch") if found and found.startswith("sqs:") else found

    return action


def main() -> None:
    die_with_parent()
    from ministack import app as emulator
    from ministack.core import iam_actions
    from ministack.services import lambda_svc

    lambda_svc._sqs_esm_concurrency = whole_concurrency(lambda_svc._sqs_esm_concurrency)
    iam_actions.extract_iam_action = batch_as_single(iam_actions.extract_iam_action)
    emulator.app = behind_tls(emulator.app)
    emulator.main()


if __name__ == "__main__":
    main()
