use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use nix::sys::signal::{Signal, kill};
use nix::unistd::getpid;
use tokio_postgres::Client;

use super::*;
use crate::pg::test_cluster;
use crate::schema_cache::QualifiedName;

/// What a test waits for something that should come.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a test waits for something that should not come: several times what a reload takes.
const A_WHILE: Duration = Duration::from_millis(500);

/// A database whose schema `api` is followed on the channel `Some "Channel"`.
struct Followed {
    reloader: Reloader,
    owner: Client,
    /// What [`Configure`] answers.
    options: Arc<Mutex<LoadOptions>>,
    /// How often it was asked.
    asked: Arc<AtomicUsize>,
}

impl Followed {
    async fn start() -> Self {
        let target = test_cluster::shared().database().await;
        let owner = target.connect().await.unwrap();
        owner
            .batch_execute("create schema api; create table api.first (id int)")
            .await
            .unwrap();
        let followed = Self::follow(target, owner);
        let state = followed.wait(|state| state.loads == 1 && state.listening).await;
        assert_eq!(state.failing, None);
        followed
    }

    fn follow(target: Target, owner: Client) -> Self {
        let options = LoadOptions {
            schemas: vec!["api".to_owned()],
            ..LoadOptions::default()
        };
        let options = Arc::new(Mutex::new(options));
        let asked = Arc::new(AtomicUsize::new(0));
        let configure: Configure = {
            let (options, asked) = (Arc::clone(&options), Arc::clone(&asked));
            Arc::new(move || {
                asked.fetch_add(1, Ordering::Relaxed);
                let options = options.lock().unwrap().clone();
                Box::pin(async move { options })
            })
        };
        Self {
            reloader: Reloader::start(target, Some("Some \"Channel\"".to_owned()), configure),
            owner,
            options,
            asked,
        }
    }

    async fn wait(&self, condition: impl FnMut(&CacheState) -> bool) -> CacheState {
        let mut state = self.reloader.cache().subscribe();
        tokio::time::timeout(PATIENCE, state.wait_for(condition))
            .await
            .unwrap_or_else(|_elapsed| panic!("{:?}", self.reloader.cache().state()))
            .unwrap()
            .clone()
    }

    async fn run(&self, statements: &str) {
        self.owner.batch_execute(statements).await.unwrap();
    }

    fn has(&self, table: &str) -> bool {
        let cache = self.reloader.cache().current().unwrap();
        cache.table(&QualifiedName::new("api", table)).is_some()
    }
}

#[tokio::test]
async fn a_notification_reloads_while_requests_keep_what_they_have() {
    let followed = Followed::start().await;
    let before = followed.reloader.cache().current().unwrap();
    for (loads, payload) in [(2, ""), (3, "reload schema")] {
        followed
            .run(&format!(
                "create table api.t{loads} (id int); notify \"Some \"\"Channel\"\"\", '{payload}'"
            ))
            .await;
        followed.wait(|state| state.loads == loads).await;
        assert!(followed.has(&format!("t{loads}")));
    }
    assert_eq!(before.tables.len(), 1);
}

#[tokio::test]
async fn other_payloads_and_channels_ask_for_nothing() {
    let followed = Followed::start().await;
    followed
        .run("notify \"Some \"\"Channel\"\"\", 'something'; notify pgrst")
        .await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(followed.reloader.cache().state().loads, 1);
    assert_eq!(followed.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_config_reload_loads_only_if_it_names_other_schemas() {
    let followed = Followed::start().await;
    let notify = "notify \"Some \"\"Channel\"\"\", 'reload config'";
    followed.run(notify).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(followed.asked.load(Ordering::Relaxed), 2);
    assert_eq!(followed.reloader.cache().state().loads, 1);

    followed
        .run("create schema other; create table other.t (id int)")
        .await;
    followed.options.lock().unwrap().schemas.push("other".to_owned());
    followed.run(notify).await;
    followed.wait(|state| state.loads == 2).await;
    assert_eq!(followed.reloader.cache().current().unwrap().tables.len(), 2);
}

#[tokio::test]
async fn a_failed_reload_keeps_the_old_cache_and_is_tried_again() {
    let followed = Followed::start().await;
    followed.run("alter schema api rename to gone").await;
    followed.reloader.cache().reload();
    let state = followed.wait(|state| state.failing.is_some()).await;
    assert!(!state.is_ready());
    assert!(state.failing.unwrap().contains("no schema api"));
    assert!(followed.has("first"));

    // Nobody says anything.
    followed.run("alter schema gone rename to api").await;
    let state = followed.wait(|state| state.failing.is_none()).await;
    assert!(state.is_ready());
    assert_eq!(state.loads, 2);
}

#[tokio::test]
async fn a_burst_of_notifications_is_few_reloads() {
    let followed = Followed::start().await;
    let began = Instant::now();
    for _ in 0..200 {
        followed.run("notify \"Some \"\"Channel\"\"\"").await;
    }
    followed
        .run("create table api.last (id int); notify \"Some \"\"Channel\"\"\"")
        .await;
    let periods = began.elapsed().as_millis() / DEBOUNCE.as_millis();
    tokio::time::sleep(A_WHILE).await;
    assert!(followed.has("last"));
    // The first at the start; one at once and one a period while the burst lasts; one after it.
    let loads = u128::from(followed.reloader.cache().state().loads);
    assert!((2..=periods + 3).contains(&loads), "{loads} in {periods}");
}

#[tokio::test]
async fn what_was_said_while_nobody_listened_is_made_up_for() {
    let followed = Followed::start().await;
    followed
        .run(
            "create table api.missed (id int);
             select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    let state = followed.wait(|state| state.loads == 2 && state.listening).await;
    assert!(state.is_ready());
    assert!(followed.has("missed"));

    followed
        .run("create table api.heard (id int); notify \"Some \"\"Channel\"\"\"")
        .await;
    followed.wait(|state| state.loads == 3).await;
    assert!(followed.has("heard"));
}

#[tokio::test]
async fn signals_reload_the_cache_and_the_settings() {
    let mut followed = Followed::start().await;
    followed.reloader.follow_signals().unwrap();
    followed.run("create table api.signalled (id int)").await;
    kill(getpid(), Signal::SIGUSR1).unwrap();
    followed.wait(|state| state.loads == 2).await;
    assert!(followed.has("signalled"));

    kill(getpid(), Signal::SIGUSR2).unwrap();
    let asked = async {
        while followed.asked.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
    assert_eq!(followed.reloader.cache().state().loads, 2);
}

#[tokio::test]
async fn a_database_that_is_down_is_told_and_waited_for() {
    let target = test_cluster::shared().database().await;
    let owner = target.connect().await.unwrap();
    let role = "create role \"Late Comer\" login password 'x'; create schema api";
    let followed = Followed::follow(target.with_login("Late Comer", "x"), owner);
    let state = followed.reloader.cache().settled().await;
    assert!(state.failing.is_some() && state.loads == 0, "{state:?}");
    assert!(followed.reloader.cache().current().is_none());

    followed.run(role).await;
    let state = followed.wait(|state| state.loads > 0 && state.listening).await;
    assert!(state.is_ready());
}

#[test]
fn retries_wait_longer_and_longer_up_to_half_a_minute() {
    let seconds = [1, 2, 3, 6, 7, u32::MAX].map(|failures| delay(failures).as_secs());
    assert_eq!(seconds, [1, 2, 4, 32, 32, 32]);
}
