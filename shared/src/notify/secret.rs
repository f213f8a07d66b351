//! A webhook's URL in Secrets Manager.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::ProvideErrorMetadata;

use super::webhook::checked;
use super::{Problem, Url};

/// The secret's value: the URL as it is, or JSON with a member `url`.
pub struct SecretUrl {
    client: Client,
    secret: String,
    known: Mutex<Option<String>>,
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SecretUrl").field("secret", &self.secret).finish_non_exhaustive()
    }
}

impl SecretUrl {
    /// The secret with this name or ARN. It is read with the first message, and again when the URL was refused.
    pub fn new(config: &aws_config::SdkConfig, secret: impl Into<String>) -> Self {
        Self { client: Client::new(config), secret: secret.into(), known: Mutex::default() }
    }

    async fn read(&self) -> Result<String, Problem> {
        let answer = self.client.get_secret_value().secret_id(&self.secret).send().await;
        let answer = answer.map_err(|error| {
            let words = error.code().unwrap_or("it cannot be reached");
            Problem::Down(format!("the webhook's secret: {words}"))
        })?;
        let text = answer.secret_string().ok_or_else(|| Problem::Down("the webhook's secret is no text".to_owned()))?;
        url_of(text).map_err(Problem::Down)
    }
}

/// The URL that a secret's text holds. What is wrong is told without the text.
fn url_of(text: &str) -> Result<String, String> {
    if !text.trim_start().starts_with('{') {
        return checked(text);
    }
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let url = value.as_ref().and_then(|value| value.get("url")).and_then(serde_json::Value::as_str);
    checked(url.ok_or("the webhook's secret is JSON without a member `url`")?)
}

#[async_trait]
impl Url for SecretUrl {
    async fn url(&self, anew: bool) -> Result<String, Problem> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(url) = known.filter(|_| !anew) {
            return Ok(url);
        }
        let url = self.read().await?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(url.clone());
        Ok(url)
    }

    fn may_change(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_url_or_json_that_holds_one() {
        let url = "https://hooks.example/x";
        assert_eq!(url_of(&format!("{url}\n")).unwrap(), url);
        assert_eq!(url_of(&format!("{{\"url\": \"{url}\"}}")).unwrap(), url);
        let problem = url_of("{\"URL\": \"https://hooks.example/x\"}").unwrap_err();
        assert!(problem.contains("`url`") && !problem.contains("example"), "{problem}");
        assert!(!url_of("http://hooks.example/x").unwrap_err().contains("example"));
    }
}
