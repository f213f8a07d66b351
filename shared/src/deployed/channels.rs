//! The finalizer's channels, from its environment.

use std::env;
use std::sync::Arc;

use super::sdk_config;
use crate::notify::{Channels, Notify, SecretUrl, Topic, Webhook};

/// The topic's ARN.
const TOPIC: &str = "ROWMILL_NOTIFICATION_TOPIC";
/// The name or ARN of the secret that holds a webhook's URL.
const SECRET: &str = "ROWMILL_WEBHOOK_SECRET";

/// The channels that are configured; `None` where none is.
pub async fn channels_from_environment() -> Option<Channels> {
    let config = sdk_config().await;
    let configured = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let mut channels: Vec<Arc<dyn Notify>> = Vec::new();
    if let Some(arn) = configured(TOPIC) {
        channels.push(Arc::new(Topic::new(&config, arn)));
    }
    if let Some(secret) = configured(SECRET) {
        channels.push(Arc::new(Webhook::new(SecretUrl::new(&config, secret))));
    }
    Channels::of(channels)
}
