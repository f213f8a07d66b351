//! Handlers as futures, polled one storage operation at a time in an order that the seed chooses.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Waking, Poll, Waker};

use super::dice::Dice;
use super::faulty::{Buckets, Faulty, Versions};
use super::processor::Handmade;
use super::queues::{Lossy, Waiting};
use super::reader::Reader;
use crate::Result;
use crate::dataset::Dataset;
use crate::pipeline::message::Message;
use crate::pipeline::tests::fixture::{DATASET, Hand};
use crate::pipeline::{Context, Limits, finalize, process};
use crate::storage::MemoryStorage;

pub const BUCKET: &str = "s3://source";
pub const KEY: &str = "in/a.parquet";
/// Tasks that run at once.
const TASKS: usize = 6;

type Work = Pin<Box<dyn Future<Output = Result<()>>>>;

pub struct Task {
    pub id: u64,
    name: String,
    work: Work,
    /// Where its message goes back to.
    message: Option<(Arc<Lossy>, Waiting)>,
}

pub struct World {
    pub dice: Dice,
    pub ctx: Context,
    pub clock: Arc<Hand>,
    pub sink: Arc<MemoryStorage>,
    pub reader: Arc<Reader>,
    pub versions: Versions,
    pub versioned: bool,
    pub dataset: Arc<Dataset>,
    pub work: Arc<Lossy>,
    pub finalizing: Arc<Lossy>,
    /// Object-created events: their body says nothing, the checker looks the source up.
    pub events: Arc<Lossy>,
    pub tasks: Vec<Task>,
    pub frozen: Vec<Task>,
    next_task: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let clock = Arc::new(Hand { now_ms: AtomicI64::new(1_000_000), ids: AtomicU64::new(0) });
        let sink = Arc::new(MemoryStorage::new("sink", clock.clone()).with_min_part_bytes(1));
        let reader = Arc::new(Reader::new(Arc::clone(&sink)));
        let versions: Versions = Arc::new(Mutex::default());
        let faulty = |inner, reader, versions| Arc::new(Faulty { inner, dice: dice.clone(), reader, versions });
        let sources = Arc::new(MemoryStorage::new("source", clock.clone()));
        let stores = Arc::new(Buckets(faulty(sources, None, Some(Arc::clone(&versions)))));
        let [work, finalizing, events] = ["work", "finalize", "events"].map(|name| Arc::new(Lossy::new(name, &dice)));
        let text = DATASET.replace("[output]", "[output]\nmax_quarantined = 0.5");
        let dataset = Arc::new(Dataset::parse(&text, "trips.toml").unwrap());
        let ctx = Context::new(
            faulty(Arc::clone(&sink), Some(Arc::clone(&reader)), None),
            stores,
            work.clone(),
            finalizing.clone(),
            clock.clone(),
            Limits { restarts: u32::try_from(dice.below(3)).unwrap(), ..Limits::default() },
        );
        let versioned = dice.hits(500);
        Self {
            dice,
            ctx,
            clock,
            sink,
            reader,
            versions,
            versioned,
            dataset,
            work,
            finalizing,
            events,
            tasks: Vec::new(),
            frozen: Vec::new(),
            next_task: 0,
        }
    }

    pub fn pass(&self, ms: i64) {
        self.clock.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn spawn(&mut self, name: String, work: Work, message: Option<(Arc<Lossy>, Waiting)>) {
        self.next_task += 1;
        let id = self.next_task;
        self.dice.state().task = id;
        self.dice.note(format!("BEGINS {name}"));
        self.tasks.push(Task { id, name, work, message });
    }

    /// Delivers a message, if any waits.
    pub fn deliver(&mut self) {
        if self.tasks.len() >= TASKS {
            return;
        }
        let queues = [&self.work, &self.finalizing, &self.events].map(Arc::clone);
        let queue = &queues[self.dice.index(queues.len())];
        let Some(waiting) = queue.receive() else { return };
        let ctx = self.ctx.clone();
        if queue.name == "events" {
            let opening = self.opening(waiting.body == "retry");
            return self.spawn("check".into(), opening, Some((Arc::clone(queue), waiting)));
        }
        let message = Message::decode(&waiting.body).unwrap();
        let name = format!("{} {}", queue.name, waiting.body.chars().take(100).collect::<String>());
        let finalizes = queue.name == "finalize";
        if finalizes && self.tasks.iter().any(|task| task.name == name) {
            self.dice.count("two finalizers at once");
        }
        if matches!(message, Message::GiveUp { .. }) {
            self.dice.count("gave up on a run");
        }
        let work: Work = match finalizes {
            true => Box::pin(async move { finalize::handle(&ctx, message).await.map(drop) }),
            false => Box::pin(async move { process::process(&ctx, &Handmade, message).await.map(drop) }),
        };
        self.spawn(name, work, Some((Arc::clone(queue), waiting)));
    }

    /// Lets some task do one storage operation; or it crashes, or freezes.
    pub fn step(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        let index = self.dice.index(self.tasks.len());
        let odds = self.dice.odds();
        if self.dice.hits(odds.crash) {
            let task = self.tasks.swap_remove(index);
            self.dice.count("crashed");
            self.dice.note(format!("CRASH {} {}", task.id, task.name));
            self.dice.state().died.insert(task.id);
            give_back(task.message);
            return;
        }
        if self.dice.hits(odds.freeze) {
            let mut task = self.tasks.swap_remove(index);
            self.dice.count("frozen");
            self.dice.note(format!("FREEZE {} {}", task.id, task.name));
            // Its message becomes visible again meanwhile.
            give_back(task.message.take());
            self.frozen.push(task);
            return;
        }
        self.poll(index);
    }

    fn poll(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        self.dice.give(task.id);
        let mut waking = Waking::from_waker(Waker::noop());
        let Poll::Ready(ended) = task.work.as_mut().poll(&mut waking) else { return };
        let task = self.tasks.swap_remove(index);
        match ended {
            Ok(()) => self.dice.note("ENDS".into()),
            Err(error) => {
                self.dice.note(format!("FAILS: {error}"));
                self.dice.state().died.insert(task.id);
                give_back(task.message);
            }
        }
    }

    /// A frozen task goes on, long after.
    pub fn thaw(&mut self) {
        if self.frozen.is_empty() {
            return;
        }
        let index = self.dice.index(self.frozen.len());
        let task = self.frozen.swap_remove(index);
        self.dice.count("thawed");
        self.dice.note(format!("THAW {} {}", task.id, task.name));
        self.tasks.push(task);
    }

    /// Works until nothing is left to deliver or to run.
    pub fn drain(&mut self) {
        for _ in 0..100_000 {
            let idle = self.work.is_empty() && self.finalizing.is_empty() && self.events.is_empty();
            if idle && self.tasks.is_empty() {
                return;
            }
            self.deliver();
            self.step();
        }
        panic!("the queues never drain");
    }
}

fn give_back(message: Option<(Arc<Lossy>, Waiting)>) {
    if let Some((queue, waiting)) = message {
        queue.give_back(waiting);
    }
}
