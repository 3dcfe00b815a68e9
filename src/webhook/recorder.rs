//! Records outcomes in batches: what ends while the database is busy with the last batch makes up the next one.
//!
//! So a lone webhook is recorded at once, and a thousand a second share a few commits. Nobody waits on purpose.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot};

use super::queue::{Finished, Queue, Recorded};
use crate::error::chain;

/// Most outcomes of one transaction.
const BATCH_MAX: usize = 200;
/// Batches under way at once: while one is committed, the next is under way.
const WRITERS: usize = 2;
/// How long a row that others hold is asked for. Beyond that it is sent again when its lease ends.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);
const BUSY_PAUSE: Duration = Duration::from_millis(25);

type Waiting = (Finished, oneshot::Sender<Option<Recorded>>);

/// Takes outcomes and writes them down. Cheap to clone.
#[derive(Clone)]
pub(super) struct Recorder(Arc<Inner>);

struct Inner {
    queue: Queue,
    waiting: Mutex<Vec<Waiting>>,
    writers: Arc<Semaphore>,
}

impl Recorder {
    pub fn new(queue: Queue) -> Self {
        Self(Arc::new(Inner {
            queue,
            waiting: Mutex::default(),
            writers: Arc::new(Semaphore::new(WRITERS)),
        }))
    }

    /// Records one outcome; `None` when it could not be.
    pub async fn record(&self, finished: Finished) -> Option<Recorded> {
        let (sender, receiver) = oneshot::channel();
        self.lock().push((finished, sender));
        self.start();
        receiver.await.ok().flatten()
    }

    /// Starts a writer if there is work and one is free. On a task of its own: a caller that is dropped does not take
    /// others' outcomes with it.
    fn start(&self) {
        let Ok(permit) = Arc::clone(&self.0.writers).try_acquire_owned() else {
            return; // those at work look again before they end
        };
        let recorder = self.clone();
        tokio::spawn(async move {
            loop {
                let batch = recorder.take();
                if batch.is_empty() {
                    break;
                }
                recorder.write(batch).await;
            }
            drop(permit);
            // Somebody may have come between the last look and the permit's return.
            if !recorder.lock().is_empty() {
                recorder.start();
            }
        });
    }

    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let count = waiting.len().min(BATCH_MAX);
        waiting.drain(..count).collect()
    }

    async fn write(&self, batch: Vec<Waiting>) {
        let (finished, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match self.0.queue.record(&finished).await {
            Ok(recorded) => {
                for ((finished, sender), recorded) in finished.into_iter().zip(senders).zip(recorded) {
                    if matches!(recorded, Recorded::Busy) {
                        tokio::spawn(self.clone().insist(finished, sender));
                    } else {
                        drop(sender.send(Some(recorded)));
                    }
                }
            }
            // One of them is at fault: each by itself.
            Err(error) if !error.is_unavailable() && finished.len() > 1 => {
                tracing::warn!(
                    error = chain(&error),
                    "recording a batch failed, recording one by one"
                );
                for (finished, sender) in finished.into_iter().zip(senders) {
                    drop(sender.send(self.alone(&finished).await));
                }
            }
            Err(error) => {
                // Known to nobody but the receiver: the lease ends, and it is sent again with the same id.
                tracing::error!(
                    error = chain(&error),
                    count = finished.len(),
                    "recording outcomes failed"
                );
                for sender in senders {
                    drop(sender.send(None));
                }
            }
        }
    }

    /// Waits for a row that somebody else is at work on.
    async fn insist(self, finished: Finished, sender: oneshot::Sender<Option<Recorded>>) {
        let began = Instant::now();
        let mut recorded = None;
        while began.elapsed() < BUSY_PATIENCE {
            tokio::time::sleep(BUSY_PAUSE).await;
            recorded = self.alone(&finished).await;
            if !matches!(recorded, Some(Recorded::Busy)) {
                break;
            }
        }
        drop(sender.send(recorded.filter(|recorded| !matches!(recorded, Recorded::Busy))));
    }

    async fn alone(&self, finished: &Finished) -> Option<Recorded> {
        match self.0.queue.record(std::slice::from_ref(finished)).await {
            Ok(mut recorded) => recorded.pop(),
            Err(error) => {
                tracing::error!(error = chain(&error), queue.id = %finished.claim.id, "recording an outcome failed");
                None
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
