//! Who is told how runs ended: a channel that is down now and then, and whose reply may be lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::dice::Dice;
use crate::notify::{Message, Notify, Problem, Told};

/// How often each run was told of.
pub type Heard = Arc<Mutex<BTreeMap<String, u64>>>;

#[derive(Debug)]
pub struct Listener {
    pub dice: Dice,
    pub heard: Heard,
}

#[async_trait]
impl Notify for Listener {
    fn name(&self) -> &'static str {
        "listener"
    }

    async fn tell(&self, message: &Message) -> Told {
        let step = "tell";
        self.dice.turn(Some(step)).await;
        let odds = self.dice.odds();
        if self.dice.hits(odds.fails_before * 5) {
            self.dice.count("channel down");
            return Err(Problem::Down("injected".to_owned()));
        }
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner).entry(message.run_id.clone()).or_default() += 1;
        self.dice.note(|| format!("TOLD of {}", message.run_id));
        self.dice.had(step);
        if self.dice.hits(odds.reply_lost) {
            self.dice.count("channel took it and did not say so");
            return Err(Problem::Down("injected".to_owned()));
        }
        Ok(())
    }
}
