//! A model of the outbox: two dispatchers that claim, send, record, crash and oversleep in every order that proptest
//! comes up with, against the real functions in a real PostgreSQL. What the receiver sees is checked after each step.
//!
//! The original's defects are put back one by one, and the model has to find each: a check that finds nothing there
//! would find nothing here.

mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use self::world::{Answer, Defect, Step, World};
use crate::support::cluster::TestDatabase;

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![
        4 => Just(Answer::Accepted),
        2 => Just(Answer::Failed),
        1 => Just(Answer::Gone),
    ];
    let who = 0..2_usize;
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Enqueue),
        5 => (who.clone(), 1..4_i32).prop_map(|(who, limit)| Step::Claim { who, limit }),
        6 => (who.clone(), answer).prop_map(|(who, answer)| Step::Send { who, answer }),
        6 => (who.clone(), any::<bool>()).prop_map(|(who, follow)| Step::Record { who, follow }),
        1 => who.prop_map(Step::Crash),
        2 => prop_oneof![Just(1_u32), Just(20), Just(70), Just(4000)].prop_map(Step::Pass),
        1 => Just(Step::Skip),
        1 => Just(Step::Replay),
    ]
}

/// Runs random histories; answers the first that breaks a promise, in words.
fn search(cases: u32, seed: u8, defect: Option<Defect>) -> Option<String> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(async { World::new(TestDatabase::migrated().await, defect).await });
    let config = Config {
        cases,
        max_shrink_iters: if defect.is_some() { 0 } else { 200 },
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&vec(step(), 5..45), |steps| {
        runtime.block_on(world.play(&steps)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(broken, steps)) => Some(format!("{broken} after {steps:?}")),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[test]
fn no_history_of_two_dispatchers_loses_reorders_or_doubles() {
    assert_eq!(search(60, 1, None), None);
}

/// Histories until a defect has to be found.
const ENOUGH: u32 = 300;

fn assert_found(defect: Defect, expected: &[&str]) {
    let found = search(ENOUGH, 2, Some(defect));
    let found = found.unwrap_or_else(|| panic!("{defect:?} was not found"));
    assert!(
        expected.iter().any(|part| found.contains(part)),
        "{defect:?}: {found}"
    );
}

#[test]
fn q1_a_delivery_that_cannot_be_recorded_is_found() {
    assert_found(
        Defect::DeliveryCannotBeRecorded,
        &["came again", "stays undelivered"],
    );
}

#[test]
fn q2_a_claim_that_nobody_takes_over_is_found() {
    assert_found(Defect::ClaimsLastForEver, &["stays undelivered"]);
}

#[test]
fn q3_a_failed_entry_that_is_overtaken_is_found() {
    assert_found(Defect::EveryDueEntryIsClaimed, &["before", "at once"]);
}

#[test]
fn q4_an_order_that_is_left_to_chance_is_found() {
    assert_found(Defect::TiesHaveNoOrder, &["before"]);
}

#[test]
fn q7_an_endpoint_that_is_gone_and_called_on_is_found() {
    assert_found(Defect::GoneIsOnlyAFailure, &["is gone"]);
}

#[test]
fn a_record_without_a_look_at_the_claim_is_found() {
    assert_found(Defect::StaleRecordsCount, &["came again", "at once", "before"]);
}
