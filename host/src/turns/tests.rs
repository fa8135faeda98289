//! The asynchronous side under random schedules: `shuttle` chooses, at each step of a line, which task goes on.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicU32, Ordering},
    task::Poll,
};

use shuttle::{
    future::{block_on, spawn, yield_now},
    rand::{Rng, thread_rng},
};

use super::*;
use crate::clock::Clock;

/// Schedules tried.
const SCHEDULES: usize = 2_000;

struct Scheduled(shuttle::sync::Mutex<Line<Wake>>);

impl Guard for Scheduled {
    fn around(line: Line<Wake>) -> Self {
        Self(shuttle::sync::Mutex::new(line))
    }

    fn step<R>(&self, step: impl FnOnce(&mut Line<Wake>) -> R) -> R {
        step(&mut self.0.lock().expect("no task panics"))
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

fn still() -> SharedClock {
    Arc::new(Still)
}

/// Waits for a permit, and stops waiting after it was asked `polls` times.
async fn patient(turns: &Arc<Turns<Scheduled>>, clock: &SharedClock, polls: u32) -> Option<Result<Permit<Scheduled>, Refused>> {
    let mut entering = pin!(turns.enter(clock));
    let mut left = polls;
    poll_fn(|context| match entering.as_mut().poll(context) {
        Poll::Ready(entered) => Poll::Ready(Some(entered)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

/// Calls once: never beside more than `most` others.
async fn call(permit: Permit<Scheduled>, calling: &AtomicU32, most: u32) {
    assert!(calling.fetch_add(1, Ordering::SeqCst) < most);
    yield_now().await;
    calling.fetch_sub(1, Ordering::SeqCst);
    drop(permit);
}

#[test]
fn whatever_the_schedule_everybody_who_stays_gets_a_permit() {
    shuttle::check_random(
        || {
            let (turns, calling) = (Turns::<Scheduled>::new(Line::with_health(1)), Arc::new(AtomicU32::new(0)));
            let tasks: Vec<_> = (0..5)
                .map(|number| {
                    let (turns, calling) = (Arc::clone(&turns), Arc::clone(&calling));
                    spawn(async move {
                        let clock = still();
                        if number % 2 == 0 {
                            let polls = thread_rng().gen_range(0..3);
                            if let Some(entered) = patient(&turns, &clock, polls).await {
                                call(entered.expect("nobody stops and nothing is ill"), &calling, 2).await;
                            }
                        } else {
                            call(turns.enter(&clock).await.expect("nobody stops and nothing is ill"), &calling, 2).await;
                        }
                    })
                })
                .collect();
            let editing = Arc::clone(&turns);
            let edits = spawn(async move {
                editing.change(|line| line.edit(2, usize::MAX, still().now()));
                yield_now().await;
                editing.change(|line| line.forget(still().now()));
                yield_now().await;
                editing.change(|line| line.edit(1, usize::MAX, still().now()));
            });
            block_on(async move {
                for task in tasks.into_iter().chain([edits]) {
                    task.await.expect("it ended");
                }
            });
            let left = turns.0.step(|line| (line.at_once(), line.give_up(1)));
            assert_eq!(left, (1, false));
            let after = patient_now(&turns);
            assert!(after.is_some_and(|entered| entered.is_ok()), "every permit was given back");
        },
        SCHEDULES,
    );
}

fn patient_now(turns: &Arc<Turns<Scheduled>>) -> Option<Result<Permit<Scheduled>, Refused>> {
    block_on(async { patient(turns, &still(), 0).await })
}

#[test]
fn whatever_the_schedule_a_pause_and_a_stop_end_every_wait() {
    shuttle::check_random(
        || {
            let turns = Turns::<Scheduled>::new(Line::with_health(1));
            let tasks: Vec<_> = (0..4)
                .map(|number| {
                    let turns = Arc::clone(&turns);
                    spawn(async move {
                        if let Ok(mut permit) = turns.enter(&still()).await {
                            permit.shows(if number == 1 { Symptom::Spare(None) } else { Symptom::Well });
                            yield_now().await;
                        }
                    })
                })
                .collect();
            let stopping = Arc::clone(&turns);
            let stop = spawn(async move { stopping.change(Line::stop) });
            block_on(async move {
                for task in tasks.into_iter().chain([stop]) {
                    task.await.expect("it ended");
                }
            });
            assert_eq!(patient_now(&turns).and_then(Result::err), Some(Refused::Stopped));
        },
        SCHEDULES,
    );
}
