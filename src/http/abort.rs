//! Breaking an answer off after it has begun.
//!
//! A body that fails must not look complete. hyper closes the connection then, but poem polls it once more to shut it
//! down, and that ends the body properly: `0\r\n\r\n`. So a body that fails names its task here before it says so, and
//! the connection's socket, which is written by the same task, takes nothing more. HTTP/2 needs none of this: there
//! the stream is reset.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::task::{Id, try_id};

/// Tasks whose connections are broken off. Empty but for moments.
static TASKS: Mutex<Vec<Id>> = Mutex::new(Vec::new());
/// How many they are, so that sockets need no lock as long as there are none.
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Breaks off the HTTP/1 connection whose task this is. For bodies, while they are polled.
pub fn break_off() {
    if let Some(task) = try_id() {
        let mut tasks = tasks();
        tasks.push(task);
        COUNT.store(tasks.len(), Ordering::Relaxed);
    }
}

/// Whether this task's connection is broken off.
pub(super) fn is_broken_off() -> bool {
    COUNT.load(Ordering::Relaxed) > 0 && try_id().is_some_and(|task| tasks().contains(&task))
}

/// Forgets this task, whose connection is closed.
pub(super) fn forget() {
    if COUNT.load(Ordering::Relaxed) > 0
        && let Some(task) = try_id()
    {
        let mut tasks = tasks();
        tasks.retain(|broken| *broken != task);
        COUNT.store(tasks.len(), Ordering::Relaxed);
    }
}

fn tasks() -> MutexGuard<'static, Vec<Id>> {
    TASKS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_task_that_asks_is_broken_off() {
        let broken = tokio::spawn(async {
            break_off();
            let broken = is_broken_off();
            tokio::task::yield_now().await;
            let still = is_broken_off();
            forget();
            (broken, still, is_broken_off())
        });
        let other = tokio::spawn(async { is_broken_off() });
        assert_eq!(broken.await.unwrap(), (true, true, false));
        assert!(!other.await.unwrap());
    }
}
