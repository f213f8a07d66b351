//! Handlers as futures, polled one storage operation at a time in an order that the seed chooses.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context as Waking, Poll, Waker};

use super::dice::Dice;
use super::faulty::Faulty;
use super::handmade::Handmade;
use super::listener::{Heard, Listener};
use super::queues::{Lossy, Waiting};
use super::reader::Reader;
use super::report::Promise::Unfinished;
use super::sources::{BUCKET, Buckets, Sources};
use super::steps;
use crate::Result;
use crate::clock::Clock;
use crate::dataset::Dataset;
use crate::event::{ObjectCreated, Trigger};
use crate::ledger::Ledger;
use crate::notify::Channels;
use crate::pipeline::check::check;
use crate::pipeline::message::Message;
use crate::pipeline::{Context, Limits, finalize, process};
use crate::storage::MemoryStorage;

/// The keys that sources have.
pub const KEYS: [&str; 3] = ["in/a.parquet", "in/b.parquet", "in/c.parquet"];
/// Tasks that run at once.
const TASKS: usize = 6;

/// The dataset file, as it is applied in turns.
pub static DATASETS: LazyLock<[Dataset; 3]> = LazyLock::new(|| {
    [("10", "0.5"), ("20", "0.5"), ("10", "0.05")].map(|(rows, share)| {
        let text = format!(
            "name = \"trips\"\n[source]\nuri = \"s3://source/in/\"\npattern = \"*.parquet\"\nformat = \"parquet\"\n\
             [output]\nprefix = \"trips/\"\nrow_group_rows = {rows}\nmax_quarantined = {share}\n"
        );
        Dataset::parse(&text, "trips.toml").unwrap()
    })
});

/// Holds the files above parsed: to parse one takes longer than a run.
static PARSED: LazyLock<Ledger> =
    LazyLock::new(|| Ledger::new(Arc::new(MemoryStorage::new("parsed", Arc::new(Hand::default())))));

/// A clock that only moves when told. Names are numbered.
#[derive(Debug, Default)]
pub struct Hand {
    pub now_ms: AtomicI64,
    pub ids: AtomicU64,
}

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.now_ms.load(Ordering::SeqCst)
    }

    fn new_id(&self) -> String {
        format!("{:026}", self.ids.fetch_add(1, Ordering::SeqCst))
    }
}

type Work = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A message in hand, and where it goes back to.
type InHand = (Arc<Lossy>, Waiting);

pub struct Task {
    pub id: u64,
    use_case: &'static str,
    name: String,
    work: Work,
    message: Option<InHand>,
    /// The run that it finalizes.
    run_id: Option<String>,
    /// The run that readers saw when it fell asleep.
    saw: Option<String>,
}

impl Task {
    pub fn finalizes(&self) -> bool {
        self.use_case == "finalize"
    }
}

pub struct World {
    pub dice: Dice,
    pub ctx: Context,
    pub clock: Arc<Hand>,
    pub sink: Arc<MemoryStorage>,
    pub reader: Arc<Reader>,
    pub sources: Arc<Sources>,
    /// The keys in use.
    pub keys: &'static [&'static str],
    pub versioned: bool,
    pub applied: usize,
    pub work: Arc<Lossy>,
    pub finalizing: Arc<Lossy>,
    /// Object-created events: a body is a key.
    pub events: Arc<Lossy>,
    /// How often each run was told of.
    pub heard: Heard,
    pub tasks: Vec<Task>,
    pub frozen: Vec<Task>,
    next_task: u64,
}

impl World {
    pub fn new(dice: Dice) -> Self {
        let clock = Arc::new(Hand { now_ms: AtomicI64::new(1_000_000), ids: AtomicU64::new(0) });
        let sink = Arc::new(MemoryStorage::new("sink", clock.clone()).with_min_part_bytes(1));
        let reader = Arc::new(Reader::new(Arc::clone(&sink), &dice));
        let sources = Arc::new(Sources::new(&dice));
        let queue = |name, step| Arc::new(Lossy::new(name, step, &dice));
        let (work, finalizing) = (queue("work", "send work"), queue("finalize", "send finalize"));
        let events = queue("events", "send event");
        let faulty = Arc::new(Faulty { inner: Arc::clone(&sink), dice: dice.clone(), reader: Arc::clone(&reader) });
        let mut ctx = Context::new(
            faulty.clone(),
            Arc::new(Buckets(Arc::clone(&sources))),
            work.clone(),
            finalizing.clone(),
            clock.clone(),
            // All sources are small ones: in half of the worlds, whoever plans one cleans it.
            Limits {
                restarts: u32::try_from(dice.below(3)).unwrap(),
                small_whole: dice.hits(500),
                ..Limits::default()
            },
        );
        ctx.ledger = PARSED.over(faulty);
        let heard = Heard::default();
        let listener = Listener { dice: dice.clone(), heard: Arc::clone(&heard) };
        if let Some(channels) = Channels::of(vec![Arc::new(listener)]) {
            ctx = ctx.telling(channels);
        }
        let keys = match dice.below(10) {
            0..=5 => &KEYS[..1],
            6..=8 => &KEYS[..2],
            _ => &KEYS[..],
        };
        let versioned = dice.hits(500);
        Self {
            dice,
            ctx,
            clock,
            sink,
            reader,
            sources,
            keys,
            versioned,
            applied: 0,
            work,
            finalizing,
            events,
            heard,
            tasks: Vec::new(),
            frozen: Vec::new(),
            next_task: 0,
        }
    }

    pub fn pass(&self, ms: i64) {
        self.clock.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn spawn(&mut self, use_case: &'static str, name: String, work: Work) {
        self.begin(Task { id: 0, use_case, name, work, message: None, run_id: None, saw: None });
    }

    fn begin(&mut self, task: Task) {
        self.next_task += 1;
        let id = self.next_task;
        self.dice.state().task = id;
        self.dice.note(|| format!("BEGINS {} {}", task.use_case, task.name));
        self.tasks.push(Task { id, ..task });
    }

    /// Delivers a message, if any waits.
    pub fn deliver(&mut self) {
        if self.tasks.len() >= TASKS {
            return;
        }
        let queues = [&self.work, &self.finalizing, &self.events].into_iter().filter(|queue| !queue.is_empty());
        let queues: Vec<_> = queues.cloned().collect();
        if queues.is_empty() {
            return;
        }
        let queue = Arc::clone(&queues[self.dice.index(queues.len())]);
        let Some(waiting) = queue.receive() else { return };
        let (ctx, name) = (self.ctx.clone(), waiting.body.clone());
        let message = Some((Arc::clone(&queue), waiting));
        let task =
            |use_case, work, run_id| Task { id: 0, use_case, name: name.clone(), work, message, run_id, saw: None };
        if queue.name == "events" {
            let created = ObjectCreated {
                bucket: BUCKET.to_owned(),
                key: name.clone(),
                version_id: None,
                etag: None,
                size: None,
                sequencer: None,
            };
            let work = Box::pin(async move { check(&ctx, Trigger::Object(created)).await.map(drop) });
            return self.begin(task("check", work, None));
        }
        let message = Message::decode(&name).unwrap();
        if queue.name == "finalize" {
            if self.tasks.iter().any(|task| task.finalizes() && task.name == name) {
                self.dice.count("two finalizers at once");
            }
            if matches!(message, Message::GiveUp { .. }) {
                self.dice.count("gave up on a run");
            }
            let run_id = Some(message.run_id().to_owned());
            let work = Box::pin(async move { finalize::handle(&ctx, message).await.map(drop) });
            return self.begin(task("finalize", work, run_id));
        }
        let convert = Handmade(self.dice.clone());
        let work = Box::pin(async move { process::process(&ctx, &convert, message).await.map(drop) });
        self.begin(task("process", work, None));
    }

    /// Lets some task do one storage operation; or it crashes, or freezes.
    pub fn step(&mut self) {
        if self.tasks.is_empty() {
            return;
        }
        // Where runs end is where most can go wrong: finalizers have their turn more often.
        let mut index = self.dice.index(self.tasks.len());
        if !self.tasks[index].finalizes() {
            index = self.dice.index(self.tasks.len());
        }
        let odds = self.dice.odds();
        let eager = self.weight(self.tasks[index].id);
        if self.dice.hits(odds.crash * eager) {
            return self.crash(index, "crash");
        }
        if self.dice.hits(odds.freeze * eager) {
            return self.freeze(index);
        }
        self.poll(index);
    }

    /// The weight of what a task is about to do, or has just done.
    fn weight(&self, task: u64) -> u64 {
        let state = self.dice.state();
        let Some(marks) = state.marks.get(&task) else { return 1 };
        let pending = marks.pending.iter().map(|step| steps::weight(step)).max();
        pending.max(marks.last.map(|step| steps::weight(step).div_ceil(2))).unwrap_or(1)
    }

    fn crash(&mut self, index: usize, count: &'static str) {
        let task = self.tasks.swap_remove(index);
        self.dice.count(count);
        self.dice.note(|| format!("{count} of {} {} {}", task.id, task.use_case, task.name));
        let mut state = self.dice.state();
        state.died.insert(task.id);
        let marks = state.marks.remove(&task.id).unwrap_or_default();
        for step in marks.pending {
            state.crashes.entry((task.use_case, step)).or_default().before += 1;
        }
        if let Some(step) = marks.last {
            state.crashes.entry((task.use_case, step)).or_default().after += 1;
        }
        drop(state);
        give_back(task.message);
    }

    fn freeze(&mut self, index: usize) {
        let mut task = self.tasks.swap_remove(index);
        self.dice.count("slept past its visibility");
        self.dice.note(|| format!("FREEZE {} {} {}", task.id, task.use_case, task.name));
        give_back(task.message.take());
        task.saw = task.run_id.as_ref().and_then(|run_id| self.reader.published_beside(run_id));
        self.frozen.push(task);
    }

    fn poll(&mut self, index: usize) {
        let task = &mut self.tasks[index];
        self.dice.give(task.id, task.use_case);
        let mut waking = Waking::from_waker(Waker::noop());
        let polled = task.work.as_mut().poll(&mut waking);
        if std::mem::take(&mut self.dice.state().kill) {
            return self.crash(index, "killed every time");
        }
        let Poll::Ready(ended) = polled else { return };
        let odds = self.dice.odds();
        if ended.is_ok() && self.dice.hits(odds.crash * self.weight(self.tasks[index].id)) {
            // All is done, and nobody hears of it.
            return self.crash(index, "crash before the acknowledgement");
        }
        let task = self.tasks.swap_remove(index);
        self.dice.state().marks.remove(&task.id);
        match ended {
            Ok(()) => self.dice.note(|| "ENDS".into()),
            Err(error) => {
                self.dice.note(|| format!("FAILS: {error}"));
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
        self.dice.count("woke up");
        self.dice.note(|| format!("THAW {} {} {}", task.id, task.use_case, task.name));
        if let Some(run_id) = &task.run_id {
            let sees = self.reader.published_beside(run_id);
            if sees.is_some() && sees != task.saw && sees.as_ref() != Some(run_id) {
                self.dice.count("a stale finalizer woke up");
                let mut state = self.dice.state();
                let pending = state.marks.get(&task.id).map(|marks| marks.pending.clone()).unwrap_or_default();
                for step in pending {
                    state.crashes.entry((task.use_case, step)).or_default().stale += 1;
                }
            }
        }
        self.tasks.push(task);
    }

    /// A message becomes visible again while its consumer still works.
    pub fn show_again(&mut self) {
        let held: Vec<usize> = (0..self.tasks.len()).filter(|at| self.tasks[*at].message.is_some()).collect();
        if held.is_empty() {
            return;
        }
        let index = held[self.dice.index(held.len())];
        self.dice.count("visibility expired under its consumer");
        give_back(self.tasks[index].message.take());
    }

    /// Does so many steps.
    pub fn work(&mut self, steps: usize) {
        for _ in 0..steps {
            if self.dice.is_broken() || (self.tasks.is_empty() && self.is_idle()) {
                return;
            }
            if self.tasks.is_empty() || self.dice.hits(300) {
                self.deliver();
            }
            self.step();
        }
    }

    fn is_idle(&self) -> bool {
        self.work.is_empty() && self.finalizing.is_empty() && self.events.is_empty()
    }

    /// Works until nothing is left to deliver or to run.
    pub fn drain(&mut self) {
        for _ in 0..20_000 {
            if (self.tasks.is_empty() && self.is_idle()) || self.dice.is_broken() {
                return;
            }
            self.deliver();
            self.step();
        }
        self.dice.broken(Unfinished, "the queues never drain");
    }
}

fn give_back(message: Option<InHand>) {
    if let Some((queue, waiting)) = message {
        queue.give_back(waiting);
    }
}
