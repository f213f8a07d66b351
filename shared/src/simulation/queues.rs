//! A queue that loses, doubles and reorders, and takes a part of a batch.

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
    step: &'static str,
    dice: Dice,
    waiting: Mutex<Vec<Waiting>>,
}

impl Lossy {
    pub fn new(name: &'static str, step: &'static str, dice: &Dice) -> Self {
        Self { name, step, dice: dice.clone(), waiting: Mutex::default() }
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
            self.dice.count("messages reordered");
        }
        if self.dice.hits(self.dice.odds().duplicate) {
            self.dice.count("message delivered twice");
            return Some(waiting[index].clone());
        }
        Some(waiting.swap_remove(index))
    }

    /// Takes a message back that was not acknowledged in time.
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
        self.dice.turn(Some(self.step)).await;
        let failed = |problem: &str| Error::Queue { queue: self.name.to_owned(), problem: problem.to_owned() };
        let odds = self.dice.odds();
        // Entries fail each for itself, and the batch with them.
        let fails: Vec<bool> = bodies.iter().map(|_| self.dice.hits(odds.fails_before)).collect();
        for (body, fails) in bodies.iter().zip(&fails) {
            if *fails {
                continue;
            }
            if self.dice.hits(odds.message_lost) {
                self.dice.count("message lost");
                continue;
            }
            self.dice.note(|| format!("send {} {}", self.name, body.chars().take(90).collect::<String>()));
            self.add(body.clone());
        }
        if fails.contains(&true) {
            let partly = fails.contains(&false);
            self.dice.count(if partly { "batch partly failed" } else { "operation failed" });
            if partly {
                self.dice.had(self.step);
            }
            return Err(failed("injected"));
        }
        self.dice.had(self.step);
        if self.dice.hits(odds.reply_lost) {
            self.dice.count("reply lost");
            return Err(failed("injected after its effect"));
        }
        Ok(())
    }

    async fn waiting(&self) -> Result<u64> {
        self.dice.turn(None).await;
        // About how many, as SQS has it.
        let roughly =
            if self.dice.hits(self.dice.odds().message_lost) { 0 } else { self.waiting.lock().unwrap().len() };
        Ok(roughly as u64)
    }
}
