use crate::model::plugin::limits::Limit;
use serde_json::json;

use super::*;
use crate::model::{
    call::{BodyEncoding, Call, CallState, RecordedCall, Rerun, Verification},
    id::CallId,
    parameter::Change,
};

pub(super) fn call(n: u64, receiver: &str, state: CallState) -> Call {
    Call {
        id: CallId::new(n, [2; 10]),
        receiver: receiver.into(),
        caller: "erp".into(),
        code_id: "c1".into(),
        received_at: Timestamp::from_millisecond(1_700_000_000_000).expect("a time"),
        state,
        request: RecordedCall {
            method: "POST".into(),
            path: String::new(),
            query: Vec::new(),
            parameters: serde_json::Map::new(),
            headers: BTreeMap::new(),
            body: "{}".into(),
            body_encoding: BodyEncoding::Text,
            body_not_kept: None,
            head_cut: false,
            remote_address: "127.0.0.1".into(),
        },
        environment: None,
        session: None,
        verification: Verification::NotAsked,
        reply: None,
        failure: None,
        events: Vec::new(),
        plugin: None,
        log: GuestLog::default(),
        webhook_statuses: Vec::new(),
        receive_us: 0,
        runs: 0,
        reruns: Vec::new(),
        depth: 0,
        trace: None,
    }
}

type Effects = (Vec<AcceptEvent>, Vec<(String, Change)>, Option<StateChanges>);

fn effects(n: u64) -> Effects {
    let state = state(vec![("count", Some("1"))]);
    (vec![incoming(n, &["a"])], vec![("s1".into(), change("x", json!(1)))], Some(state))
}

/// Changes of a plugin that may keep 3 keys and 100 bytes.
fn state(changes: Vec<(&str, Option<&str>)>) -> StateChanges {
    let changes = changes.into_iter().map(|(key, value)| (key.to_owned(), value.map(|value| value.as_bytes().to_vec())));
    StateChanges { plugin: "p".into(), changes: changes.collect(), keys_max: 3, bytes_max: 100 }
}

#[tokio::test]
async fn a_plugin_keeps_no_more_state_than_it_may() {
    let bench = Bench::new();
    let mut n = 0;
    let mut keep = async |changes: Vec<(&str, Option<&str>)>| {
        n += 1;
        let kept = bench.store.commit_call(call(n, "r", CallState::Done), Vec::new(), Vec::new(), Some(state(changes)), LEASE).await;
        kept.map(|_| ()).map_err(|error| match error {
            StoreError::StateFull { limit, max } => (limit, max),
            other => panic!("{other}"),
        })
    };
    let (long, longer) = ("x".repeat(90), "x".repeat(95));
    assert_eq!(keep(vec![("a", Some("1")), ("b", Some("2")), ("c", Some("3"))]).await, Ok(()));
    assert_eq!(keep(vec![("d", Some("4"))]).await, Err((Limit::StateKeys, 3)));
    assert_eq!(keep(vec![("a", Some("7")), ("a2", Some("4")), ("c", None)]).await, Ok(()), "one goes as one comes");
    assert_eq!(keep(vec![("a", Some(&longer))]).await, Err((Limit::StateBytes, 100)));
    assert_eq!(keep(vec![("a", None), ("a2", None), ("b", Some(&long))]).await, Ok(()));
    assert_eq!(bench.store.plugin_state("p", "a").await.expect("read"), None);
    bench.store.forget_plugin_state("p").await.expect("forgotten");
    assert_eq!(bench.store.plugin_state("p", "b").await.expect("read"), None);
    assert_eq!(keep(vec![("a", Some(&longer))]).await, Ok(()));
}

#[tokio::test]
async fn a_call_and_all_it_did_are_committed_together_and_once() {
    let bench = Bench::new();
    let (events, parameters, state) = effects(1);
    let done = call(1, "r", CallState::Done);
    let first = bench.store.commit_call(done.clone(), events, parameters, state, LEASE).await.expect("committed");
    assert!(matches!(first[0], Accepted::New { .. }));
    let (events, parameters, state) = effects(1);
    let second = bench.store.commit_call(done.clone(), events, parameters, state, LEASE).await.expect("committed");
    assert!(matches!(&second[0], Accepted::Duplicate { id } if *id == event_id(1)));
    let bench = bench.reopened();
    assert_eq!(bench.store.call(&done.id).await.expect("read"), Some(done));
    assert_eq!(bench.store.events(None, 10).await.expect("read").data.len(), 1);
    assert_eq!(bench.store.parameters("s1").await.expect("read").version, 1);
    assert_eq!(bench.store.plugin_state("p", "count").await.expect("read"), Some(b"1".to_vec()));
}

#[tokio::test]
async fn a_call_whose_event_is_refused_leaves_nothing() {
    let bench = Bench::new();
    let dedup = Dedup { key: [1; 32], body: [1; 32] };
    bench.store.accept(vec![AcceptEvent { dedup: Some(dedup), ..incoming(1, &[]) }], LEASE).await.expect("accepted");
    let (mut events, parameters, state) = effects(2);
    events[0].dedup = Some(Dedup { body: [2; 32], ..dedup });
    let done = call(1, "r", CallState::Done);
    assert!(bench.store.commit_call(done.clone(), events, parameters, state, LEASE).await.is_err());
    assert_eq!(bench.store.call(&done.id).await.expect("read"), None);
    assert_eq!(bench.store.plugin_state("p", "count").await.expect("read"), None);
}

#[tokio::test]
async fn a_pending_call_waits_until_it_is_committed() {
    let bench = Bench::new();
    bench.store.begin_call(call(2, "r", CallState::Pending)).await.expect("begun");
    bench.store.begin_call(call(1, "r", CallState::Pending)).await.expect("begun");
    let bench = bench.reopened();
    let pending = bench.store.pending_calls(None, 10).await.expect("read");
    assert_eq!(pending.iter().map(|call| call.id.clone()).collect::<Vec<_>>(), [CallId::new(1, [2; 10]), CallId::new(2, [2; 10])]);
    let (events, parameters, state) = effects(1);
    let done = Call { runs: 1, ..call(1, "r", CallState::Done) };
    bench.store.commit_call(done, events, parameters, state, LEASE).await.expect("committed");
    assert_eq!(bench.store.pending_calls(None, 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn calls_are_found_by_receiver_and_state() {
    let bench = Bench::new();
    for n in 1..=6 {
        let receiver = if n % 2 == 0 { "even" } else { "odd" };
        let state = if n < 3 { CallState::Failed } else { CallState::Done };
        bench.store.commit_call(call(n, receiver, state), Vec::new(), Vec::new(), None, LEASE).await.expect("committed");
    }
    let even = CallFilter { receiver: Some("even".into()), state: None };
    let page = bench.store.calls(even.clone(), None, 2).await.expect("read");
    assert_eq!(page.data.len(), 2);
    assert_eq!(bench.store.calls(even, page.next, 2).await.expect("read").data.len(), 1);
    let failed = CallFilter { receiver: None, state: Some(CallState::Failed) };
    assert_eq!(bench.store.calls(failed, None, 10).await.expect("read").data.len(), 2);
}

#[tokio::test]
async fn a_rerun_takes_what_failed_and_nothing_of_an_older_run_counts_after_it() {
    let bench = Bench::new();
    let failed = Call { runs: 5, ..call(1, "r", CallState::Failed) };
    let done = Call { runs: 1, ..call(2, "r", CallState::Done) };
    for call in [failed.clone(), done.clone()] {
        bench.store.commit_call(call, Vec::new(), Vec::new(), None, LEASE).await.expect("committed");
    }
    let rerun = Rerun { at: bench.clock.now(), by: "admin".into(), version: Some(2), runs_before: 0, failure: None };
    let ids = vec![failed.id.clone(), done.id.clone()];
    assert_eq!(bench.store.rerun_calls(ids.clone(), rerun.clone(), 0).await.expect("asked"), 1, "what was done is left");
    assert_eq!(bench.store.rerun_calls(ids, rerun, 0).await.expect("asked"), 0, "it waits already");
    let pending = bench.store.pending_calls(None, 10).await.expect("read");
    let asked = bench.store.call(&pending[0].id).await.expect("read").expect("a call");
    assert_eq!((pending.len(), asked.reruns[0].runs_before, asked.runs_since_asked()), (1, 5, 0));
    assert!(bench.store.pending_calls(Some(failed.id.clone()), 10).await.expect("read").is_empty(), "those behind it");
    // A run that began before it was asked for.
    let late = Call { state: CallState::Done, ..failed.clone() };
    bench.store.commit_call(late, Vec::new(), Vec::new(), None, LEASE).await.expect("left out");
    assert_eq!(bench.store.call(&failed.id).await.expect("read").expect("a call").state, CallState::Pending);
    let ended = Call { state: CallState::Done, runs: 6, ..asked.clone() };
    bench.store.commit_call(ended.clone(), Vec::new(), Vec::new(), None, LEASE).await.expect("committed");
    bench.store.begin_call(Call { state: CallState::Pending, ..ended }).await.expect("left out");
    assert_eq!(bench.store.call(&failed.id).await.expect("read").expect("a call").state, CallState::Done, "what is done stays done");
}
