//! Addresses that may be connected to: those of the public internet. A name that a stranger controls can lead anywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is a public host's (IANA's special-purpose address registries, RFC 6890).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Metadata services (169.254.169.254) are link-local, and container credentials (169.254.170.2) too.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_carrier_grade_nat = a == 100 && (64..128).contains(&b);
    let is_protocol_assignment = a == 192 && b == 0 && c == 0;
    let is_relay_anycast = a == 192 && b == 88 && c == 99;
    let is_benchmark = a == 198 && (b == 18 || b == 19);
    let is_reserved = a == 0 || a >= 240;
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || is_carrier_grade_nat
        || is_protocol_assignment
        || is_relay_anycast
        || is_benchmark
        || is_reserved)
}

/// Only global unicast, 2000::/3: neither unique local (fd00:ec2::254 is a metadata service), link-local, mapped nor
/// translated addresses. Of it, not what wraps an IPv4 address (6to4, Teredo), is documentation or is not assigned.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let is_global_unicast = first & 0xe000 == 0x2000;
    let is_protocol_assignment = first == 0x2001 && second < 0x0200;
    let is_documentation = (first == 0x2001 && second == 0x0db8) || (first == 0x3fff && second < 0x1000);
    let is_6to4 = first == 0x2002;
    is_global_unicast && !is_protocol_assignment && !is_documentation && !is_6to4
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.0.0.0")]
    #[case("10.1.2.3")]
    #[case("100.64.0.1")]
    #[case("100.127.255.255")]
    #[case("127.0.0.1")]
    #[case("127.8.8.8")]
    #[case("169.254.169.254")]
    #[case("169.254.170.2")]
    #[case("172.16.0.1")]
    #[case("172.31.255.255")]
    #[case("192.0.0.1")]
    #[case("192.168.1.1")]
    #[case("198.18.0.1")]
    #[case("203.0.113.7")]
    #[case("224.0.0.1")]
    #[case("240.0.0.1")]
    #[case("255.255.255.255")]
    #[case("::")]
    #[case("::1")]
    #[case("::ffff:127.0.0.1")]
    #[case("::ffff:8.8.8.8")]
    #[case("::127.0.0.1")]
    #[case("64:ff9b::7f00:1")]
    #[case("2001::1")]
    #[case("2001:db8::1")]
    #[case("2002:7f00:1::")]
    #[case("3fff::1")]
    #[case("fd00:ec2::254")]
    #[case("fc00::1")]
    #[case("fe80::1")]
    #[case("fec0::1")]
    #[case("ff02::1")]
    fn what_is_not_public_is_not_connected_to(#[case] address: &str) {
        assert!(!is_public(address.parse().unwrap()), "{address}");
    }

    #[rstest]
    #[case("8.8.8.8")]
    #[case("100.63.255.255")]
    #[case("100.128.0.1")]
    #[case("172.32.0.1")]
    #[case("192.1.0.1")]
    #[case("2606:4700::1111")]
    #[case("2a00:1450:4001::200e")]
    #[case("2001:4860:4860::8888")]
    fn public_hosts_are(#[case] address: &str) {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}
