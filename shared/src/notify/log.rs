//! Channels without a network.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;

use super::{Message, Notify, Told};

/// Keeps what it was told, and logs it: for tests, and to see what would be sent.
#[derive(Debug, Default)]
pub struct Heard(Mutex<Vec<Message>>);

impl Heard {
    /// What it was told, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Notify for Heard {
    fn name(&self) -> &'static str {
        "log"
    }

    async fn tell(&self, message: &Message) -> Told {
        tracing::info!(run_id = message.run_id, subject = message.subject, "told");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message.clone());
        Ok(())
    }
}
