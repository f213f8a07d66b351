//! Which web servers a dataset may read from: decided by its file, before anything is asked for.

use std::fmt;

/// The longest name of a host (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Whether a bucket is a web server: `https://host`, with its port where that is not the scheme's own.
pub fn is_web(bucket: &str) -> bool {
    bucket.starts_with("https://") || bucket.starts_with("http://")
}

/// A server: what stands before the path in a URL. Its text is the bucket of the files there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether what it sends is encrypted, and it proves who it is.
    pub https: bool,
    /// Its name, in lower case.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Origin {
    /// Reads `https://host` or `http://host`, with or without a port.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (https, authority) = match text.split_once("://") {
            Some(("https", authority)) => (true, authority),
            Some(("http", authority)) => (false, authority),
            _ => return Err(format!("`{text}` is no web server: write `https://host`")),
        };
        let Host { name, port } = Host::parse(authority)?;
        Ok(Self { https, host: name, port: port.unwrap_or_else(|| default_port(https)) })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        if self.port == default_port(self.https) {
            write!(formatter, "{scheme}://{}", self.host)
        } else {
            write!(formatter, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// A host as a dataset file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    name: String,
    /// The scheme's own where it is absent.
    port: Option<u16>,
}

impl Host {
    /// Reads `host` or `host:port`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, port) = match text.split_once(':') {
            // A user's name, or an address of IPv6: neither is one.
            _ if text.contains(['@', '[']) => (text, None),
            None => (text, None),
            Some((name, port)) => {
                let number = port.parse().ok().filter(|number| *number > 0 && !port.starts_with('+'));
                let number = number.ok_or_else(|| format!("`{port}` is no port: write `{name}:443`, or no port"))?;
                (name, Some(number))
            }
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if name.is_empty() || name.len() > MAX_HOST_BYTES || !name.chars().all(allowed) {
            return Err(format!(
                "`{text}` is no host: write a name such as `data.example.org`, without scheme and path"
            ));
        }
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }
}

/// What a dataset allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebRules {
    hosts: Vec<Host>,
    allow_http: bool,
}

impl WebRules {
    /// Reading from these hosts; unencrypted only where `allow_http`.
    pub fn new(hosts: Vec<Host>, allow_http: bool) -> Self {
        Self { hosts, allow_http }
    }

    /// Refuses a server that the dataset does not name.
    ///
    /// # Errors
    ///
    /// Why, and what to do.
    pub fn check(&self, origin: &Origin) -> Result<(), String> {
        if !origin.https && !self.allow_http {
            return Err(
                "http:// is neither encrypted nor proven: use https://, or set source.allow_http = true".to_owned()
            );
        }
        let is_named = self
            .hosts
            .iter()
            .any(|host| host.name == origin.host && host.port.unwrap_or(default_port(origin.https)) == origin.port);
        if is_named {
            return Ok(());
        }
        let host = if origin.port == default_port(origin.https) {
            origin.host.clone()
        } else {
            format!("{}:{}", origin.host, origin.port)
        };
        Err(format!("the dataset does not name the host `{host}`: add it to source.hosts if it is to be read from"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://Data.Example.org", "https://data.example.org")]
    #[case("https://data.example.org:443", "https://data.example.org")]
    #[case("http://127.0.0.1:8080", "http://127.0.0.1:8080")]
    #[case("http://h:80", "http://h")]
    #[case("https://h:80", "https://h:80")]
    fn an_origin_has_one_spelling(#[case] text: &str, #[case] one: &str) {
        assert_eq!(Origin::parse(text).unwrap().to_string(), one);
    }

    #[rstest]
    #[case("ftp://h")]
    #[case("https://")]
    #[case("https://user@h")]
    #[case("https://h:0")]
    #[case("https://h:70000")]
    #[case("https://h:+1")]
    #[case("https://[::1]")]
    #[case("https://h/path")]
    #[case("h")]
    fn what_is_no_origin_is_refused(#[case] text: &str) {
        assert!(Origin::parse(text).is_err(), "{text}");
    }

    #[rstest]
    #[case("https://data.example.org", true)]
    #[case("https://cdn.example.org:8443", true)]
    #[case("https://cdn.example.org", false)]
    #[case("https://data.example.org:22", false)]
    #[case("https://data.example.org.evil.org", false)]
    #[case("https://evil.org", false)]
    #[case("http://data.example.org", false)]
    fn only_what_is_named_is_read_from(#[case] origin: &str, #[case] allowed: bool) {
        let hosts = ["data.example.org", "cdn.example.org:8443"].map(|host| Host::parse(host).unwrap());
        let rules = WebRules::new(hosts.to_vec(), false);
        assert_eq!(rules.check(&Origin::parse(origin).unwrap()).is_ok(), allowed);
    }

    #[test]
    fn http_is_for_those_who_ask_for_it() {
        let rules = WebRules::new(vec![Host::parse("h").unwrap()], true);
        assert!(rules.check(&Origin::parse("http://h").unwrap()).is_ok());
        assert!(rules.check(&Origin::parse("http://h:8080").unwrap()).is_err());
    }
}
