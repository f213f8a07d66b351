//! A queue that loses, doubles and reorders.

use std::sync::Mutex;

use async_trait::async_trait;

use super::dice::Dice;
use crate::queue::Queue;
use crate::{Error, Result};

/// Receives before a message goes to the dead letters.
const MAX_RECEIVES: u32 = 5;

#[derive(Debug, Clone)]
pub struct Waiting {
    pub body: String,
    pub received: u32,
}

#[derive(Debug)]
pub struct Lossy {
    pub name: &'static str,
    dice: Dice,
    waiting: Mutex<Vec<Waiting>>,
}

impl Lossy {
    pub fn new(name: &'static str, dice: &Dice) -> Self {
        Self { name, dice: dice.clone(), waiting: Mutex::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap().is_empty()
    }

    pub fn add(&self, body: String) {
        self.waiting.lock().unwrap().push(Waiting { body, received: 0 });
    }

    /// Any of the messages that wait; sometimes it stays as well, to be delivered again.
    pub fn receive(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.lock().unwrap();
        if waiting.is_empty() {
            return None;
        }
        let index = self.dice.index(waiting.len());
        if index > 0 {
            self.dice.count("reordered");
        }
        if self.dice.hits(self.dice.odds().duplicate) {
            self.dice.count("delivered twice");
            return Some(waiting[index].clone());
        }
        Some(waiting.swap_remove(index))
    }

    /// Takes a message back whose handler failed.
    pub fn give_back(&self, mut message: Waiting) {
        message.received += 1;
        if message.received >= MAX_RECEIVES {
            self.dice.count("dead letter");
            return;
        }
        self.waiting.lock().unwrap().push(message);
    }
}

#[async_trait]
impl Queue for Lossy {
    async fn send(&self, bodies: &[String]) -> Result<()> {
        self.dice.turn().await;
        let failed = || Error::Queue { queue: self.name.to_owned(), problem: "injected".to_owned() };
        for body in bodies {
            if self.dice.hits(self.dice.odds().fails_before) {
                self.dice.count("failed before its effect");
                return Err(failed());
            }
            if self.dice.hits(self.dice.odds().message_lost) {
                self.dice.count("message lost");
                continue;
            }
            self.dice.note(format!("send {} {}", self.name, body.chars().take(90).collect::<String>()));
            self.add(body.clone());
        }
        if self.dice.hits(self.dice.odds().reply_lost) {
            self.dice.count("reply lost after its effect");
            return Err(failed());
        }
        Ok(())
    }

    async fn waiting(&self) -> Result<u64> {
        self.dice.turn().await;
        // About how many, as SQS has it.
        let roughly =
            if self.dice.hits(self.dice.odds().message_lost) { 0 } else { self.waiting.lock().unwrap().len() };
        Ok(roughly as u64)
    }
}
