//! A search of every state that small lines can reach, and of the faults such a line once had: each, put back, must be found.

use std::collections::{HashSet, VecDeque};

use super::*;

/// Tasks that come, wait, call and leave.
const TASKS: usize = 3;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Task {
    Idle,
    Waits(Ticket),
    Calls(Pass),
}

/// What can happen next. Tasks are named by their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Enter(usize),
    /// It stops waiting.
    GiveUp(usize),
    /// It was given a permit, and is gone before it takes it.
    Abandon(usize),
    Finish(usize, Symptom),
    Edit(u32, usize),
    Forget,
    Stop,
    /// The time until which nothing is to be called comes.
    Later,
}

/// A fault that is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The end of a permit wakes one waiter, which gives up for a pause without passing the news on.
    WakesOne,
    /// A change of the rules reaches newcomers only.
    EditReachesNobody,
    /// What is known is forgotten, and with it the line and everybody in it.
    ForgetDropsWaiters,
    /// What is known is forgotten, and nobody in the line is told.
    ForgetReachesNobody,
    /// Waiters stay although the endpoint is to be left alone.
    PauseReachesNobody,
    /// The stop of the host wakes nobody.
    StopReachesNobody,
    /// The place of a waiter that left is not taken back.
    GiveUpKeepsThePlace,
    /// A waiter that never had a permit gives one back.
    GiveUpGivesAPermitBack,
    /// A permit is not passed on by a waiter that left before it took it.
    AbandonKeepsThePermit,
    /// A permit from before a change says how the endpoint is after it.
    OldPermitSpeaks,
    /// One more than the limit.
    OneTooMany,
    /// Everybody may wait.
    EverybodyWaits,
    /// The last to come goes first.
    LastGoesFirst,
}

#[derive(Clone)]
struct World {
    line: Line<usize>,
    tasks: [Task; TASKS],
    now: Timestamp,
}

/// What tells two states apart. Tickets and generations only grow, so of them the order and the age matter.
type Key = (u32, usize, bool, Option<(u32, u32, i64, u64, bool)>, Vec<usize>, [(u8, bool); TASKS]);

impl World {
    fn key(&self) -> Key {
        let Line { limit, queue_max, health, generation, waiting, is_stopped, .. } = &self.line;
        let task = |task: Task| match task {
            Task::Idle => (0, false),
            Task::Waits(_) => (1, false),
            Task::Calls(pass) => (if pass.generation == *generation { 2 } else { 3 }, pass.is_probe),
        };
        let waiting = waiting.iter().map(|(_, task)| *task).collect();
        (*limit, *queue_max, *is_stopped, health.map(|health| health.seen_from(self.now)), waiting, self.tasks.map(task))
    }

    fn calling(&self) -> usize {
        self.tasks.iter().filter(|task| matches!(task, Task::Calls(_))).count()
    }

    fn steps(&self, edits: &[(u32, usize)]) -> Vec<Step> {
        let mut steps: Vec<_> = edits.iter().map(|(limit, queue)| Step::Edit(*limit, *queue)).collect();
        steps.extend([Step::Forget, Step::Stop, Step::Later]);
        for (number, task) in self.tasks.iter().enumerate() {
            match task {
                Task::Idle => steps.push(Step::Enter(number)),
                Task::Waits(_) => steps.push(Step::GiveUp(number)),
                Task::Calls(_) => {
                    let symptoms = [Symptom::None, Symptom::Well, Symptom::Ill, Symptom::Spare(None)];
                    steps.extend(symptoms.map(|symptom| Step::Finish(number, symptom)));
                    steps.push(Step::Abandon(number));
                }
            }
        }
        steps
    }

    /// Puts waiters back at the front of the line, as if they had not been told.
    fn untell(&mut self, told: Told<usize>) {
        for (number, verdict) in told.into_iter().rev() {
            if matches!(verdict, Verdict::Go(_)) {
                self.line.inside -= 1;
            }
            let Task::Waits(ticket) = self.tasks[number] else { unreachable!("it was told something") };
            self.line.waiting.push_front((ticket, number));
        }
    }

    /// Makes the step. `Err`: what it broke.
    fn step(&mut self, step: Step, fault: Option<Fault>) -> Result<(), String> {
        let (before, is_fault) = (self.clone(), |one: Fault| fault == Some(one));
        let (now, mut told) = (self.now, Vec::new());
        match step {
            Step::Enter(number) => {
                let (limit, queue_max) = (self.line.limit, self.line.queue_max);
                self.line.limit += u32::from(is_fault(Fault::OneTooMany));
                if is_fault(Fault::EverybodyWaits) {
                    self.line.queue_max = usize::MAX;
                }
                let entry = self.line.enter(now, || number);
                (self.line.limit, self.line.queue_max) = (limit, queue_max);
                match entry {
                    Entry::Now(verdict) => {
                        check(before.line.waiting.is_empty() || verdict == Verdict::Stopped, "a newcomer overtakes")?;
                        told = vec![(number, verdict)];
                    }
                    Entry::Waits(ticket) => {
                        check(before.line.waiting.len() < queue_max, "more wait than may")?;
                        if is_fault(Fault::LastGoesFirst) {
                            self.line.waiting.rotate_right(1);
                        }
                        self.tasks[number] = Task::Waits(ticket);
                    }
                    Entry::Full => check(before.line.waiting.len() >= queue_max, "a newcomer is turned away although there is room")?,
                }
            }
            Step::GiveUp(number) => {
                let Task::Waits(ticket) = self.tasks[number] else { unreachable!("only one that waits gives up") };
                if !is_fault(Fault::GiveUpKeepsThePlace) {
                    check(self.line.give_up(ticket), "a waiter that was told nothing is not in the line")?;
                }
                if is_fault(Fault::GiveUpGivesAPermitBack) {
                    told = self.line.finish(Pass { generation: 0, is_probe: false }, Symptom::None, now);
                }
                self.tasks[number] = Task::Idle;
            }
            Step::Finish(number, _) | Step::Abandon(number) => {
                let Task::Calls(mut pass) = self.tasks[number] else { unreachable!("only one that calls finishes") };
                let symptom = if let Step::Finish(_, symptom) = step { symptom } else { Symptom::None };
                let is_old = pass.generation != self.line.generation;
                if is_fault(Fault::OldPermitSpeaks) {
                    pass.generation = self.line.generation;
                }
                if !(is_fault(Fault::AbandonKeepsThePermit) && matches!(step, Step::Abandon(_))) {
                    told = self.line.finish(pass, symptom, now);
                }
                let has_learnt =
                    self.line.health.map(|health| health.seen_from(now)) != before.line.health.map(|health| health.seen_from(now));
                let is_probed = told.iter().any(|(_, verdict)| matches!(verdict, Verdict::Go(pass) if pass.is_probe));
                check(!is_old || is_probed || !has_learnt, "a permit from before a change counts after it")?;
                self.tasks[number] = Task::Idle;
            }
            Step::Edit(limit, queue) => {
                told = self.line.edit(limit, queue, now);
                if is_fault(Fault::EditReachesNobody) {
                    self.untell(std::mem::take(&mut told));
                }
            }
            Step::Forget => {
                if is_fault(Fault::ForgetDropsWaiters) {
                    self.line.waiting.clear();
                }
                told = self.line.forget(now);
                if is_fault(Fault::ForgetReachesNobody) {
                    self.untell(std::mem::take(&mut told));
                }
            }
            Step::Stop => {
                told = self.line.stop();
                if is_fault(Fault::StopReachesNobody) {
                    self.untell(std::mem::take(&mut told));
                }
            }
            Step::Later => {
                if let Admission::NotBefore(until) = self.line.outlook(now) {
                    self.now = until;
                }
            }
        }
        if is_fault(Fault::WakesOne) && told.len() > 1 {
            let rest = told.split_off(1);
            self.untell(rest);
        }
        if is_fault(Fault::PauseReachesNobody) && !matches!(step, Step::Enter(_)) {
            let (back, others) = told.into_iter().partition(|(_, verdict)| matches!(verdict, Verdict::Back(_)));
            self.untell(back);
            told = others;
        }
        self.hear(&before, step, told)
    }

    /// The tasks do what they are told, and nothing is broken.
    fn hear(&mut self, before: &Self, step: Step, told: Told<usize>) -> Result<(), String> {
        let ticket = |number: usize| if let Task::Waits(ticket) = before.tasks[number] { ticket } else { 0 };
        let last = told.iter().map(|(number, _)| ticket(*number)).max().unwrap_or_default();
        check(self.line.waiting.iter().all(|(ticket, _)| *ticket > last || last == 0), "waiters are not woken in the order of coming")?;
        let has_probe =
            before.tasks.iter().any(|task| matches!(task, Task::Calls(pass) if pass.is_probe && pass.generation == self.line.generation));
        let was_probe_ended = matches!(step, Step::Finish(..) | Step::Abandon(_));
        let mut given = 0;
        for (number, verdict) in told {
            self.tasks[number] = match verdict {
                Verdict::Go(pass) => {
                    given += 1;
                    check(was_probe_ended || !has_probe, "a call goes out beside a probe")?;
                    Task::Calls(pass)
                }
                Verdict::Back(until) => {
                    check(until > self.now, "a waiter is sent away until a time that is over")?;
                    Task::Idle
                }
                Verdict::Stopped => {
                    check(self.line.is_stopped, "a waiter is told of a stop that is none")?;
                    Task::Idle
                }
            };
        }
        let (calling, limit) = (self.calling(), self.line.limit as usize);
        check(given == 0 || calling <= limit.min(self.line.at_once() as usize), "more permits are out than may be")?;
        check(given == 0 || !before.line.is_stopped, "a permit is given after the stop")?;
        check(calling == self.line.inside as usize, "permits that are out are not those that are held")?;
        let waiting: Vec<_> = self.line.waiting.iter().map(|(ticket, number)| (*number, Task::Waits(*ticket))).collect();
        check(waiting.iter().all(|(number, task)| self.tasks[*number] == *task), "a place is kept for one who does not wait")?;
        let waits = self.tasks.iter().filter(|task| matches!(task, Task::Waits(_))).count();
        check(waiting.len() == waits, "one who waits has no place in the line")?;
        if waits > 0 {
            check(!self.line.is_stopped, "one waits although the host stops")?;
            check(!matches!(self.line.outlook(self.now), Admission::NotBefore(_)), "one waits although nothing is to be called")?;
            check(calling >= self.line.at_once() as usize, "one waits beside a free permit")?;
            check(calling > 0, "one waits whom nobody will wake")?;
        }
        Ok(())
    }
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Visits every state that can be reached. How many there are; `Err`: what is broken in one of them, and the step that broke it.
fn search(line: Line<usize>, edits: &[(u32, usize)], fault: Option<Fault>) -> Result<usize, String> {
    let first = World { line, tasks: [Task::Idle; TASKS], now: at(0) };
    let mut seen = HashSet::from([first.key()]);
    let mut open = VecDeque::from([first]);
    while let Some(world) = open.pop_front() {
        for step in world.steps(edits) {
            let mut next = world.clone();
            next.step(step, fault).map_err(|broken| format!("{broken}: {step:?} in {:?}", world.key()))?;
            if seen.insert(next.key()) {
                open.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

fn endpoint(fault: Option<Fault>) -> Result<usize, String> {
    search(Line::with_health(1), &[(1, usize::MAX), (2, usize::MAX)], fault)
}

fn plugin(fault: Option<Fault>) -> Result<usize, String> {
    search(Line::new(1, 1), &[(1, 0), (1, 2), (2, 1)], fault)
}

#[test]
fn in_no_reachable_state_does_a_waiter_sleep_beside_a_free_permit() {
    let states = (endpoint(None), plugin(None));
    println!("states of an endpoint's line, of a plugin's line: {states:?}");
    assert_eq!(states, (Ok(3190), Ok(89)));
}

#[test]
fn every_fault_that_is_put_back_is_found() {
    use Fault::*;
    let everywhere = [WakesOne, EditReachesNobody, StopReachesNobody, GiveUpKeepsThePlace, GiveUpGivesAPermitBack, AbandonKeepsThePermit];
    for fault in everywhere.into_iter().chain([ForgetDropsWaiters, LastGoesFirst]) {
        let (endpoint, plugin) = (endpoint(Some(fault)), plugin(Some(fault)));
        assert!(endpoint.is_err() && plugin.is_err(), "{fault:?}: {endpoint:?}, {plugin:?}");
    }
    for fault in [ForgetReachesNobody, PauseReachesNobody, OldPermitSpeaks] {
        assert!(endpoint(Some(fault)).is_err(), "{fault:?}");
    }
    for fault in [OneTooMany, EverybodyWaits] {
        assert!(plugin(Some(fault)).is_err(), "{fault:?}");
    }
}

/// Tasks of two endpoints that need a permit of their endpoint and then one of all: where one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Both {
    Idle,
    WaitsForEndpoint(Ticket),
    WaitsForAll(Ticket, Pass),
    Calls(Pass, Pass),
}

/// The lines of two endpoints and the one of all.
#[derive(Clone)]
struct Two {
    endpoints: [Line<usize>; 2],
    all: Line<usize>,
    tasks: [Both; 4],
}

impl Two {
    /// Two tasks of each endpoint.
    fn endpoint(&mut self, number: usize) -> &mut Line<usize> {
        &mut self.endpoints[number % 2]
    }

    fn go(&mut self, told: Told<usize>) {
        for (number, verdict) in told {
            self.tasks[number] = match (self.tasks[number], verdict) {
                (Both::WaitsForAll(_, endpoint), Verdict::Go(all)) => Both::Calls(endpoint, all),
                (Both::WaitsForAll(_, endpoint), _) => {
                    let told = self.endpoint(number).finish(endpoint, Symptom::None, at(0));
                    self.tasks[number] = Both::Idle;
                    self.go(told);
                    continue;
                }
                (_, Verdict::Go(endpoint)) => {
                    match self.all.enter(at(0), || number) {
                        Entry::Waits(ticket) => self.tasks[number] = Both::WaitsForAll(ticket, endpoint),
                        Entry::Now(verdict) => {
                            self.tasks[number] = Both::WaitsForAll(0, endpoint);
                            self.go(vec![(number, verdict)]);
                        }
                        Entry::Full => unreachable!("the line of all has no bound"),
                    }
                    continue;
                }
                _ => Both::Idle,
            };
        }
    }

    /// Task `number` does what it can do in its place: `leaves`: it stops waiting.
    fn step(&mut self, number: usize, leaves: bool) {
        let task = std::mem::replace(&mut self.tasks[number], Both::Idle);
        match task {
            Both::Idle => match self.endpoint(number).enter(at(0), || number) {
                Entry::Waits(ticket) => self.tasks[number] = Both::WaitsForEndpoint(ticket),
                Entry::Now(verdict) => self.go(vec![(number, verdict)]),
                Entry::Full => unreachable!("the line of an endpoint has no bound"),
            },
            Both::WaitsForEndpoint(ticket) if leaves => assert!(self.endpoint(number).give_up(ticket)),
            Both::WaitsForAll(ticket, endpoint) if leaves => {
                assert!(self.all.give_up(ticket));
                let told = self.endpoint(number).finish(endpoint, Symptom::None, at(0));
                self.go(told);
            }
            Both::Calls(endpoint, all) => {
                let told = self.all.finish(all, Symptom::None, at(0));
                self.go(told);
                let told = self.endpoint(number).finish(endpoint, Symptom::None, at(0));
                self.go(told);
            }
            waiting => self.tasks[number] = waiting,
        }
    }

    fn stop(&mut self) {
        for line in 0..2 {
            let told = self.endpoints[line].stop();
            self.go(told);
        }
        let told = self.all.stop();
        self.go(told);
    }

    fn key(&self) -> (Vec<Vec<usize>>, [u8; 4], bool) {
        let lines = self.endpoints.iter().chain([&self.all]);
        let waiting = lines.map(|line| line.waiting.iter().map(|(_, number)| *number).collect()).collect();
        let task = |task| match task {
            Both::Idle => 0,
            Both::WaitsForEndpoint(_) => 1,
            Both::WaitsForAll(..) => 2,
            Both::Calls(..) => 3,
        };
        (waiting, self.tasks.map(task), self.all.is_stopped)
    }
}

#[test]
fn a_turn_that_is_held_while_it_waits_for_the_permit_of_all_keeps_nobody_waiting_for_ever() {
    let first =
        Two { endpoints: [Line::new(1, usize::MAX), Line::new(2, usize::MAX)], all: Line::new(1, usize::MAX), tasks: [Both::Idle; 4] };
    let mut seen = HashSet::from([first.key()]);
    let mut open = VecDeque::from([first]);
    while let Some(two) = open.pop_front() {
        let calls = two.tasks.iter().filter(|task| matches!(task, Both::Calls(..))).count();
        let waits = two.tasks.iter().any(|task| matches!(task, Both::WaitsForEndpoint(_) | Both::WaitsForAll(..)));
        assert!(calls <= 1 && (calls == 1 || !waits), "somebody waits and nobody calls: {:?}", two.tasks);
        assert!(!(two.all.is_stopped && waits), "somebody waits although the host stops: {:?}", two.tasks);
        let mut next: Vec<Two> = Vec::new();
        for (number, leaves) in (0..4).flat_map(|number| [(number, false), (number, true)]) {
            let mut two = two.clone();
            two.step(number, leaves);
            next.push(two);
        }
        let mut stopped = two.clone();
        stopped.stop();
        next.push(stopped);
        open.extend(next.into_iter().filter(|next| seen.insert(next.key())));
    }
    println!("states of two endpoints and the permit of all: {}", seen.len());
    assert_eq!(seen.len(), 54);
}
