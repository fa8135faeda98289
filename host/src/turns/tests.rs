//! The asynchronous side under random schedules: of the tasks that were woken a random one goes on. A task that nobody will wake is found.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    task::{Context, Poll},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;
use crate::clock::Clock;

/// Schedules tried.
const SCHEDULES: u64 = 3_000;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

fn still() -> SharedClock {
    Arc::new(Still)
}

/// Whether a task was woken.
struct Woken(AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs the tasks to their ends, each time a random one of those that were woken.
#[track_caller]
fn run(seed: u64, random: &mut StdRng, tasks: Vec<Task>) {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (task, Arc::new(Woken(AtomicBool::new(true))))).collect();
    while !tasks.is_empty() {
        let woken: Vec<_> = (0..tasks.len()).filter(|number| tasks[*number].1.0.load(Ordering::SeqCst)).collect();
        assert!(!woken.is_empty(), "schedule {seed}: {} tasks sleep and nobody wakes them", tasks.len());
        let number = woken[random.random_range(0..woken.len())];
        let (task, flag) = &mut tasks[number];
        flag.0.store(false, Ordering::SeqCst);
        if task.as_mut().poll(&mut Context::from_waker(&Arc::clone(flag).into())).is_ready() {
            drop(tasks.swap_remove(number));
        }
    }
}

async fn pause() {
    let mut is_first = true;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Waits for a permit, and stops waiting after it was asked `polls` times.
async fn patient(turns: &Arc<Turns>, polls: u32) -> Option<Result<Permit, Refused>> {
    let clock = still();
    let mut entering = pin!(turns.enter(&clock));
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

/// Calls once: never beside as many as `most` others.
async fn call(permit: Permit, calling: &AtomicU32, most: u32) {
    assert!(calling.fetch_add(1, Ordering::SeqCst) < most);
    pause().await;
    calling.fetch_sub(1, Ordering::SeqCst);
    drop(permit);
}

#[test]
fn whatever_the_schedule_everybody_who_stays_gets_a_permit() {
    for seed in 0..SCHEDULES {
        let mut random = StdRng::seed_from_u64(seed);
        let (turns, calling) = (Turns::new(Line::with_health(1)), Arc::new(AtomicU32::new(0)));
        let mut tasks: Vec<Task> = Vec::new();
        for number in 0..5 {
            let (turns, calling) = (Arc::clone(&turns), Arc::clone(&calling));
            let polls = if number % 2 == 0 { random.random_range(0..3) } else { u32::MAX };
            tasks.push(Box::pin(async move {
                let entered = if polls < u32::MAX { patient(&turns, polls).await } else { Some(turns.enter(&still()).await) };
                if let Some(entered) = entered {
                    call(entered.expect("nobody stops and nothing is ill"), &calling, 2).await;
                }
            }));
        }
        let editing = Arc::clone(&turns);
        tasks.push(Box::pin(async move {
            editing.change(|line| line.edit(2, usize::MAX, still().now()));
            pause().await;
            editing.change(|line| line.forget(still().now()));
            pause().await;
            editing.change(|line| line.edit(1, usize::MAX, still().now()));
        }));
        run(seed, &mut random, tasks);
        let last = Arc::clone(&turns);
        run(seed, &mut random, vec![Box::pin(async move { assert!(patient(&last, 0).await.is_some_and(|entered| entered.is_ok())) })]);
    }
}

#[test]
fn whatever_the_schedule_a_pause_and_a_stop_end_every_wait() {
    for seed in 0..SCHEDULES {
        let mut random = StdRng::seed_from_u64(seed);
        let turns = Turns::new(Line::with_health(1));
        let mut tasks: Vec<Task> = Vec::new();
        for number in 0..4 {
            let turns = Arc::clone(&turns);
            tasks.push(Box::pin(async move {
                if let Ok(mut permit) = turns.enter(&still()).await {
                    permit.shows(if number == 1 { Symptom::Spare(None) } else { Symptom::Well });
                    pause().await;
                }
            }));
        }
        let stopping = Arc::clone(&turns);
        tasks.push(Box::pin(async move { stopping.change(Line::stop) }));
        run(seed, &mut random, tasks);
        let last = Arc::clone(&turns);
        run(
            seed,
            &mut random,
            vec![Box::pin(async move { assert_eq!(patient(&last, 0).await.and_then(Result::err), Some(Refused::Stopped)) })],
        );
    }
}
