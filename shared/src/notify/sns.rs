//! An SNS topic: e-mail, SMS, queues and functions subscribe to it, and may filter by the message's attributes.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::config::timeout::TimeoutConfig;
use aws_sdk_sns::error::ProvideErrorMetadata;
use aws_sdk_sns::operation::publish::PublishError;
use aws_sdk_sns::types::MessageAttributeValue;

use super::{Message, Notify, Problem, Told};

/// How long one delivery may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A topic.
#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// The topic with this ARN.
    pub fn new(config: &aws_config::SdkConfig, arn: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder().operation_timeout(TIMEOUT).build();
        let config = aws_sdk_sns::config::Builder::from(config).timeout_config(timeouts).build();
        Self { client: Client::from_conf(config), arn: arn.into() }
    }
}

#[async_trait]
impl Notify for Topic {
    fn name(&self) -> &'static str {
        "topic"
    }

    async fn tell(&self, message: &Message) -> Told {
        let mut publish = self.client.publish().topic_arn(&self.arn).subject(&message.subject).message(&message.text);
        let attributes =
            [("dataset", message.dataset.as_str()), ("status", message.status), ("run_id", message.run_id.as_str())];
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            let value = value.map_err(|error| Problem::Refused(format!("the topic: {error}")))?;
            publish = publish.message_attributes(name, value);
        }
        publish.send().await.map(drop).map_err(|error| {
            let refused = error.as_service_error().is_some_and(|service| {
                matches!(
                    service,
                    PublishError::InvalidParameterException(_) | PublishError::InvalidParameterValueException(_)
                )
            });
            let words = match (error.code(), error.message()) {
                (Some(code), message) => format!("the topic: {code}: {}", message.unwrap_or("no message")),
                (None, _) => "the topic cannot be reached, or did not answer in time".to_owned(),
            };
            if refused { Problem::Refused(words) } else { Problem::Down(words) }
        })
    }
}
