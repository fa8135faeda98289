use std::{sync::atomic::AtomicI64, time::Duration};

use super::*;
use crate::clock::{self, Clock};

const RULES: Rules = Rules { in_flight: 2, per_second: None, is_gone: false };

struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).expect("a time")
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

fn window(held_max: usize) -> Window {
    Window::new(&Limits { deliveries_held_max: held_max, ..Limits::default() })
}

fn endpoint(name: &str) -> EndpointId {
    EndpointId(name.to_owned())
}

#[test]
fn an_endpoint_holds_its_part_and_less_when_memory_is_tight() {
    let window = window(800);
    let a = window.room(&endpoint("a"), RULES, 1000, at(0));
    assert_eq!((a.slots.len(), a.again_at), (2 + NEXT_MAX, None));
    assert!(window.take(&endpoint("a"), RULES, 1, at(0)).is_none());
    let b = window.room(&endpoint("b"), RULES, 1000, at(0));
    assert_eq!(b.slots.len(), 2 + NEXT_MAX);
    assert_eq!(window.room(&endpoint("c"), RULES, 1000, at(0)).slots.len(), 2, "half of it is held");
    drop(a);
    assert_eq!(window.room(&endpoint("c"), RULES, 1000, at(0)).slots.len(), 2 + NEXT_MAX);
    drop(b);
}

#[test]
fn bytes_are_bounded_too() {
    let window = Window::new(&Limits { deliveries_held_bytes_max: 100, ..Limits::default() });
    let large = window.take(&endpoint("a"), RULES, 1000, at(0)).expect("a slot");
    assert_eq!(window.room(&endpoint("b"), RULES, 1000, at(0)).slots.len(), 2);
    drop(large);
    assert_eq!(window.room(&endpoint("b"), RULES, 1000, at(0)).slots.len(), 2 + NEXT_MAX);
}

#[test]
fn a_rate_lets_a_seconds_worth_by_and_then_one_after_the_other() {
    let window = window(10_000);
    let rules = Rules { in_flight: 100, per_second: Some(4.0), is_gone: false };
    let first = window.room(&endpoint("a"), rules, 50, at(0));
    assert_eq!(first.slots.len(), 4);
    assert_eq!(first.again_at, Some(clock::after(at(0), Duration::from_millis(250))));
    drop(first);
    assert_eq!(window.room(&endpoint("a"), rules, 50, clock::after(at(0), Duration::from_millis(500))).slots.len(), 2);
    assert_eq!(window.room(&endpoint("a"), rules, 50, at(100)).slots.len(), 4, "what was not used is not saved up");
    let slow = Rules { in_flight: 1, per_second: Some(0.1), is_gone: false };
    assert_eq!(window.room(&endpoint("b"), slow, 50, at(0)).slots.len(), 1);
    assert_eq!(window.room(&endpoint("b"), slow, 50, at(9)).again_at, Some(at(10)));
}

#[tokio::test]
async fn turns_are_taken_up_to_the_limit_and_passed_on() {
    let (window, hand) = (window(100), Arc::new(Hand(AtomicI64::new(0))));
    let clock: SharedClock = hand;
    let slots = window.room(&endpoint("a"), RULES, 10, at(0)).slots;
    let first = slots[0].turn(&clock).await.expect("free");
    let second = slots[1].turn(&clock).await.expect("free");
    let mut third = Box::pin(slots[2].turn(&clock));
    assert!(futures::poll!(&mut third).is_pending());
    drop(first);
    let third = third.await.expect("now");
    drop((second, third));
    for slot in &slots {
        drop(slot.turn(&clock).await.expect("free"));
    }
}

#[tokio::test]
async fn when_the_breaker_opens_those_who_wait_give_up_and_one_probe_goes() {
    let (window, hand) = (window(100), Arc::new(Hand(AtomicI64::new(0))));
    let clock: SharedClock = Arc::<Hand>::clone(&hand);
    let one = Rules { in_flight: 1, per_second: None, is_gone: false };
    let slots = window.room(&endpoint("a"), one, 3, at(0)).slots;
    for _ in 1..crate::model::health::BREAKER_FAILURES {
        slots[0].turn(&clock).await.expect("free").shows(Symptom::Ill);
    }
    let mut last = slots[0].turn(&clock).await.expect("free");
    let mut waiting = Box::pin(slots[1].turn(&clock));
    assert!(futures::poll!(&mut waiting).is_pending());
    last.shows(Symptom::Ill);
    drop(last);
    assert_eq!(waiting.await.err(), Some(Refused::Until(at(5))));
    assert_eq!(window.room(&endpoint("a"), one, 3, at(1)).again_at, Some(at(5)));
    drop(slots);
    hand.0.store(5, Ordering::SeqCst);
    let probes = window.room(&endpoint("a"), one, 3, at(5)).slots;
    assert_eq!(probes.len(), 1);
    probes[0].turn(&clock).await.expect("the probe").shows(Symptom::Well);
    assert_eq!(window.room(&endpoint("a"), one, 3, at(5)).slots.len(), 3);
}

fn endpoint_of(webhook: &WebhookId) -> EndpointId {
    EndpointId::new(webhook, None)
}

#[tokio::test]
async fn what_waits_goes_by_the_rules_of_the_webhook_that_took_its_place_and_a_stop_ends_it() {
    let (window, hand) = (window(100), Arc::new(Hand(AtomicI64::new(0))));
    let clock: SharedClock = hand;
    let webhook = WebhookId::new(0, [0; 10]);
    let slots = window.room(&endpoint_of(&webhook), RULES, 4, at(0)).slots;
    let mut turns = vec![slots[0].turn(&clock).await.expect("free"), slots[1].turn(&clock).await.expect("free")];
    let (mut third, mut fourth) = (Box::pin(slots[2].turn(&clock)), Box::pin(slots[3].turn(&clock)));
    assert!(futures::poll!(&mut third).is_pending() && futures::poll!(&mut fourth).is_pending());
    // It asks to be spared: who waits gives up, all of them.
    turns[0].shows(Symptom::Spare(Some(Duration::from_secs(60))));
    turns.remove(0);
    assert_eq!((third.await.err(), fourth.await.err()), (Some(Refused::Until(at(60))), Some(Refused::Until(at(60)))));
    // The webhook is deleted: nothing is known of its endpoint any more, and what waits is let by, to be cancelled.
    window.forget(&webhook, at(1));
    turns.push(slots[2].turn(&clock).await.expect("to be cancelled"));
    let mut last = Vec::new();
    for _ in 0..Rules::NONE.in_flight {
        last.extend(futures::FutureExt::now_or_never(slots[3].turn(&clock)));
    }
    let mut waiting = Box::pin(slots[3].turn(&clock));
    assert!(futures::poll!(&mut waiting).is_pending());
    window.stop();
    assert_eq!(waiting.await.err(), Some(Refused::Stopped));
    assert!(window.take(&endpoint("another"), RULES, 1, at(1)).is_none(), "nothing is begun after a stop");
    drop((turns, last));
    assert_eq!(window.held().len(), 1);
    drop(slots);
    assert!(!window.lines().contains_key(&endpoint_of(&webhook)), "the line of a webhook that is gone is dropped with what was in it");
}
