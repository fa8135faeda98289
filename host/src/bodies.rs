//! Budgets for the bytes of requests' bodies: for the host, for each address, for each token. Room is taken before a body is read and given
//! back with the answer. A request without room waits, and its body stays unread: backpressure reaches its sender.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{
    config::http::HttpSettings,
    lock::lock,
    model::shares::{Claim, Shares, Standing, WaitingMax},
};

/// One owner may have this fraction of all waiting requests: an eighth.
const WAITING_PARTS: usize = 8;

/// Whose budget the bytes count for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// An address; of IPv6, the network.
    Address(IpAddr),
    /// A token, by its number.
    Token(u128),
}

/// There was no room in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many bytes of requests' bodies are held already (`http.bodies_bytes_max`, and of one address or token); try again")]
pub struct NoRoom;

/// The budgets. Clones share them.
#[derive(Clone, Debug)]
pub struct Bodies {
    state: Arc<Mutex<State>>,
    per_address: u64,
    per_token: u64,
}

#[derive(Debug)]
struct State {
    shares: Shares<Owner>,
    wakers: HashMap<u64, oneshot::Sender<()>>,
}

impl State {
    /// Wakes the requests that were let in.
    fn wake(&mut self, let_in: Vec<u64>) {
        for number in let_in {
            // A request that gave up meanwhile gives its room back itself (`Waiting`).
            if let Some(waker) = self.wakers.remove(&number) {
                let _ = waker.send(());
            }
        }
    }
}

/// Bytes that are held until this is dropped.
#[derive(Debug)]
pub struct Held {
    bodies: Bodies,
    claim: Claim<Owner>,
}

impl Held {
    /// How many.
    pub fn bytes(&self) -> u64 {
        self.claim.amount
    }

    /// Gives back the room beyond `bytes`: the body was shorter.
    pub fn shrink(&mut self, bytes: u64) {
        if let Some(rest) = self.claim.amount.checked_sub(bytes).filter(|rest| *rest > 0) {
            self.claim.amount = bytes;
            let mut state = self.bodies.state();
            let let_in = state.shares.give_back(&Claim { amount: rest, ..self.claim });
            state.wake(let_in);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.bodies.state();
        let let_in = state.shares.give_back(&self.claim);
        state.wake(let_in);
    }
}

/// A waiting request. Dropping it leaves the queue.
struct Waiting<'a> {
    bodies: &'a Bodies,
    number: u64,
    claim: Option<Claim<Owner>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(claim) = self.claim.take() else { return };
        let mut state = self.bodies.state();
        state.wakers.remove(&self.number);
        let let_in = match state.shares.give_up(self.number) {
            Some(let_in) => let_in,
            // It was let in between the timeout and this drop.
            None => state.shares.give_back(&claim),
        };
        state.wake(let_in);
    }
}

impl Bodies {
    /// Empty budgets.
    pub fn new(settings: &HttpSettings) -> Self {
        let waiting_max = WaitingMax { all: settings.bodies_waiting_max, owner: settings.bodies_waiting_max / WAITING_PARTS };
        let state = State { shares: Shares::new(settings.bodies_bytes_max as u64, waiting_max), wakers: HashMap::new() };
        let (per_address, per_token) = (settings.bodies_bytes_per_address_max as u64, settings.bodies_bytes_per_token_max as u64);
        Self { state: Arc::new(Mutex::new(state)), per_address, per_token }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// How many bytes are held, and how many requests wait.
    pub fn now(&self) -> (u64, usize) {
        let state = self.state();
        (state.shares.held(), state.shares.waiting())
    }

    /// Takes `bytes` for these owners, as soon as there is room.
    pub async fn take(&self, owners: [Option<Owner>; 2], bytes: u64, time_max: Duration) -> Result<Held, NoRoom> {
        let with_max = |owner| (owner, if matches!(owner, Owner::Address(_)) { self.per_address } else { self.per_token });
        let claim = Claim::new(owners.map(|owner| owner.map(with_max)), bytes);
        let (number, woken) = {
            let mut state = self.state();
            match state.shares.take(claim) {
                Standing::Held => return Ok(Held { bodies: self.clone(), claim }),
                Standing::Refused => return Err(NoRoom),
                Standing::Waits(number) => {
                    let (waker, woken) = oneshot::channel();
                    state.wakers.insert(number, waker);
                    (number, woken)
                }
            }
        };
        let mut waiting = Waiting { bodies: self, number, claim: Some(claim) };
        match tokio::time::timeout(time_max, woken).await {
            Ok(Ok(())) => waiting.claim.take().map(|claim| Held { bodies: self.clone(), claim }).ok_or(NoRoom),
            _ => Err(NoRoom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies() -> Bodies {
        Bodies::new(&HttpSettings { bodies_bytes_max: 100, bodies_bytes_per_address_max: 40, ..HttpSettings::default() })
    }

    const FOREVER: Duration = Duration::from_secs(600);

    fn address(last: u8) -> [Option<Owner>; 2] {
        [Some(Owner::Address([192, 0, 2, last].into())), None]
    }

    #[tokio::test]
    async fn who_waits_is_let_in_when_something_is_given_back_and_others_are_not_held_up() {
        let bodies = bodies();
        let mut first = bodies.take(address(1), 40, FOREVER).await.expect("room");
        let waiting = tokio::spawn({
            let bodies = bodies.clone();
            async move { bodies.take(address(1), 30, FOREVER).await.map(|held| held.bytes()) }
        });
        while bodies.now().1 == 0 {
            tokio::task::yield_now().await;
        }
        let other = bodies.take(address(2), 20, FOREVER).await.expect("room for another");
        assert_eq!(bodies.now(), (60, 1));
        first.shrink(10);
        assert_eq!(waiting.await.expect("no panic"), Ok(30));
        drop((first, other));
        assert_eq!(bodies.now(), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_too_long_or_goes_away_leaves_nothing_behind() {
        let bodies = bodies();
        let held = bodies.take(address(1), 40, FOREVER).await.expect("room");
        assert!(bodies.take(address(1), 1, Duration::from_millis(1)).await.is_err());
        assert_eq!(bodies.now(), (40, 0));
        let gone = tokio::spawn({
            let bodies = bodies.clone();
            async move { bodies.take(address(1), 40, FOREVER).await.map(drop) }
        });
        while bodies.now().1 == 0 {
            tokio::task::yield_now().await;
        }
        // It is let in and ended before it could notice.
        drop(held);
        gone.abort();
        drop(gone.await);
        assert_eq!(bodies.now(), (0, 0));
    }
}
