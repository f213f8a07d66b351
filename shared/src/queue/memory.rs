//! An in-process queue with SQS's semantics: at least once, in no promised order, with a visibility timeout and a
//! dead-letter list.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::Queue;
use crate::Result;
use crate::clock::Clock;

/// How often a waiting receiver looks whether a message has become visible again, by the machine's own time.
const POLL: Duration = Duration::from_millis(20);

/// A queue in memory. Every method may be called from many tasks at once.
#[derive(Debug)]
pub struct MemoryQueue {
    name: String,
    clock: Arc<dyn Clock>,
    visibility_ms: i64,
    max_receives: u32,
    state: Mutex<State>,
    changed: Notify,
}

/// A message, received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Names this delivery, not the message: a later delivery of the same message has another.
    pub id: u64,
    /// What was sent.
    pub body: String,
    /// How often the message was received, this time included.
    pub receive_count: u32,
}

/// How many messages wait where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that the next receive may get.
    pub visible: usize,
    /// Messages received and neither acknowledged nor returned.
    pub in_flight: usize,
    /// Messages given up after too many receives.
    pub dead: usize,
}

impl Depth {
    /// True where nothing is left to do: none visible, none in flight.
    pub fn is_idle(&self) -> bool {
        self.visible == 0 && self.in_flight == 0
    }
}

#[derive(Debug, Default)]
struct State {
    visible: VecDeque<Message>,
    /// By delivery id: the message, and when it becomes visible again.
    in_flight: BTreeMap<u64, (Message, i64)>,
    dead: Vec<String>,
    last_id: u64,
    closed: bool,
}

#[derive(Debug)]
struct Message {
    body: String,
    received: u32,
}

impl MemoryQueue {
    /// An empty queue. A message is in flight for `visibility` of the clock's time before it is delivered again, and
    /// goes to the dead letters instead of being received more than `max_receives` times.
    pub fn new(name: impl Into<String>, clock: Arc<dyn Clock>, visibility: Duration, max_receives: u32) -> Self {
        Self {
            name: name.into(),
            clock,
            visibility_ms: i64::try_from(visibility.as_millis()).unwrap_or(i64::MAX),
            max_receives: max_receives.max(1),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// The queue's name, for logs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for a message. `None` once the queue is closed; what is visible then stays.
    ///
    /// Cancelling the wait loses nothing: a message is taken only in the moment that it is returned.
    pub async fn receive(&self) -> Option<Delivery> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before looking, so that no change between the look and the wait goes unseen.
            changed.as_mut().enable();
            if self.state().closed {
                return None;
            }
            if let Some(delivery) = self.try_receive() {
                return Some(delivery);
            }
            let _ = tokio::time::timeout(POLL, changed).await;
        }
    }

    /// A message, if one is visible now.
    pub fn try_receive(&self) -> Option<Delivery> {
        let now_ms = self.clock.now_ms();
        let mut state = self.state();
        self.return_expired(&mut state, now_ms);
        while let Some(mut message) = state.visible.pop_front() {
            if message.received >= self.max_receives {
                state.dead.push(message.body);
                self.changed.notify_waiters();
                continue;
            }
            message.received += 1;
            state.last_id += 1;
            let id = state.last_id;
            let delivery = Delivery { id, body: message.body.clone(), receive_count: message.received };
            state.in_flight.insert(id, (message, now_ms.saturating_add(self.visibility_ms)));
            return Some(delivery);
        }
        None
    }

    /// Acknowledges a delivery: its message is done. False where it came too late: the message is visible again, or
    /// another delivery of it is under way.
    pub fn ack(&self, id: u64) -> bool {
        let mut state = self.state();
        self.return_expired(&mut state, self.clock.now_ms());
        let was_in_flight = state.in_flight.remove(&id).is_some();
        self.changed.notify_waiters();
        was_in_flight
    }

    /// Returns a delivery's message, to be received again at once. False where it came too late.
    pub fn nack(&self, id: u64) -> bool {
        let mut state = self.state();
        let returned = state.in_flight.remove(&id);
        let was_in_flight = returned.is_some();
        state.visible.extend(returned.map(|(message, _)| message));
        self.changed.notify_waiters();
        was_in_flight
    }

    /// Has a delivery's message wait so long before it is received again. False where the delivery came too late.
    pub fn hide(&self, id: u64, wait: Duration) -> bool {
        let until_ms = self.clock.now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let mut state = self.state();
        let Some((_, visible_at_ms)) = state.in_flight.get_mut(&id) else { return false };
        *visible_at_ms = until_ms;
        true
    }

    /// How many messages wait where.
    pub fn depth(&self) -> Depth {
        let mut state = self.state();
        self.return_expired(&mut state, self.clock.now_ms());
        state.depth()
    }

    /// Messages visible or in flight.
    pub fn len(&self) -> usize {
        let depth = self.depth();
        depth.visible + depth.in_flight
    }

    /// True where nothing is visible or in flight.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bodies of the messages given up, in the order they were.
    pub fn dead_letters(&self) -> Vec<String> {
        self.state().dead.clone()
    }

    /// Ends every wait, now and later. Messages in flight may still be acknowledged.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_waiters();
    }

    /// Messages whose time in flight is over become visible, in the order they were received.
    fn return_expired(&self, state: &mut State, now_ms: i64) {
        let expired: Vec<u64> =
            state.in_flight.iter().filter(|(_, (_, until_ms))| *until_ms <= now_ms).map(|(id, _)| *id).collect();
        for id in expired {
            let returned = state.in_flight.remove(&id);
            state.visible.extend(returned.map(|(message, _)| message));
        }
    }

    /// No method leaves the state half changed, so a poisoned lock still guards a whole one.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn depth(&self) -> Depth {
        Depth { visible: self.visible.len(), in_flight: self.in_flight.len(), dead: self.dead.len() }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, bodies: &[String]) -> Result<()> {
        let messages = bodies.iter().map(|body| Message { body: body.clone(), received: 0 });
        self.state().visible.extend(messages);
        self.changed.notify_waiters();
        Ok(())
    }

    async fn waiting(&self) -> Result<u64> {
        Ok(u64::try_from(self.depth().visible).unwrap_or(u64::MAX))
    }
}

/// True where all these queues are idle in one and the same moment. A worker that sends before it acknowledges is
/// never between two queues, so true means that no work is left, whichever queue feeds which.
///
/// Locks the queues in the order given: give them in the same order everywhere.
pub fn all_idle(queues: &[&MemoryQueue]) -> bool {
    let states: Vec<MutexGuard<'_, State>> = queues.iter().map(|queue| queue.state()).collect();
    states.iter().all(|state| state.depth().is_idle())
}

/// Waits until [`all_idle`].
pub async fn wait_until_idle(queues: &[&MemoryQueue]) {
    while !all_idle(queues) {
        let changes = queues.iter().map(|queue| Box::pin(queue.changed.notified()));
        let _ = tokio::time::timeout(POLL, futures::future::select_all(changes)).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::clock::SystemClock;

    #[derive(Debug, Default)]
    struct Hand(AtomicI64);
    impl Clock for Hand {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn queue(clock: Arc<dyn Clock>, max_receives: u32) -> MemoryQueue {
        MemoryQueue::new("work", clock, Duration::from_secs(30), max_receives)
    }

    fn bodies(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("message {number}")).collect()
    }

    #[tokio::test]
    async fn a_message_is_delivered_until_it_is_acknowledged() {
        let clock = Arc::new(Hand::default());
        let queue = queue(clock.clone(), 5);
        queue.send(&bodies(1)).await.unwrap();
        let first = queue.receive().await.unwrap();
        assert_eq!(queue.try_receive(), None, "it is in flight");
        clock.0.store(29_999, Ordering::SeqCst);
        assert_eq!(queue.try_receive(), None);
        clock.0.store(30_000, Ordering::SeqCst);
        let second = queue.receive().await.unwrap();
        assert_eq!((second.receive_count, &second.body), (2, &first.body));
        assert!(!queue.ack(first.id), "the first delivery's time was over");
        assert_eq!(queue.depth().in_flight, 1);
        assert!(queue.ack(second.id));
        assert!(queue.is_empty());
    }

    #[tokio::test]
    async fn a_returned_message_comes_back_at_once_and_is_given_up_in_the_end() {
        let queue = queue(Arc::new(SystemClock), 3);
        queue.send(&bodies(1)).await.unwrap();
        for count in 1..=3 {
            let delivery = queue.receive().await.unwrap();
            assert_eq!(delivery.receive_count, count);
            assert!(queue.nack(delivery.id));
        }
        assert_eq!(queue.try_receive(), None);
        assert_eq!(queue.dead_letters(), bodies(1));
        assert!(queue.depth().is_idle(), "a dead letter is no work");
    }

    #[tokio::test]
    async fn a_closed_queue_ends_every_wait() {
        let queue = Arc::new(queue(Arc::new(SystemClock), 3));
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.receive().await }
        });
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(waiting.await.unwrap(), None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_workers_over_two_queues_do_every_message_and_then_see_that_no_work_is_left() {
        const MESSAGES: usize = 500;
        let work = Arc::new(queue(Arc::new(SystemClock), 9));
        let finalize = Arc::new(queue(Arc::new(SystemClock), 9));
        let done = Arc::new(Mutex::new(BTreeSet::new()));
        let mut workers = Vec::new();
        for _ in 0..8 {
            let (from, to) = (Arc::clone(&work), Arc::clone(&finalize));
            workers.push(tokio::spawn(async move {
                while let Some(delivery) = from.receive().await {
                    if delivery.id % 7 == 0 {
                        from.nack(delivery.id);
                        continue;
                    }
                    to.send(std::slice::from_ref(&delivery.body)).await.unwrap();
                    from.ack(delivery.id);
                }
            }));
            let (from, done) = (Arc::clone(&finalize), Arc::clone(&done));
            workers.push(tokio::spawn(async move {
                while let Some(delivery) = from.receive().await {
                    done.lock().unwrap().insert(delivery.body.clone());
                    from.ack(delivery.id);
                }
            }));
        }
        work.send(&bodies(MESSAGES)).await.unwrap();
        wait_until_idle(&[&work, &finalize]).await;
        assert_eq!(done.lock().unwrap().len(), MESSAGES);
        work.close();
        finalize.close();
        for worker in workers {
            worker.await.unwrap();
        }
        assert!(work.dead_letters().is_empty());
    }
}
