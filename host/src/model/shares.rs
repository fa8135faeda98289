//! A fair budget of a limited amount, by owner: bytes of requests' bodies, by address and by token.
//!
//! An owner may hold no more than its maximum, and no more than is still free for others: at most half of what is left, so that later owners
//! find room for small claims. A claim that does not fit waits in order of arrival, and holds up only the claims of the same owner.
//! A pure state machine; its shell (`bodies`) adds time limits and wakers.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// A claim of an amount: it counts for each of its owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<K> {
    /// The owners, with the maximum each may hold.
    pub owners: [Option<(K, u64)>; 2],
    /// How much it is.
    pub amount: u64,
}

impl<K: Copy> Claim<K> {
    /// A claim of `amount` for these owners, each with the maximum it may hold.
    pub fn new(owners: [Option<(K, u64)>; 2], amount: u64) -> Self {
        Self { owners, amount }
    }

    /// The owners, with the maximum each may hold.
    fn owners(&self) -> impl Iterator<Item = (K, u64)> + use<K> {
        self.owners.into_iter().flatten()
    }
}

/// The state of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is held.
    Held,
    /// It waits under this number.
    Waits(u64),
    /// The queue is full.
    Refused,
}

/// The longest queues.
#[derive(Clone, Copy, Debug)]
pub struct WaitingMax {
    /// Of all owners together.
    pub all: usize,
    /// Of one owner.
    pub owner: usize,
}

/// The budget: what is held and what waits.
#[derive(Debug)]
pub struct Shares<K> {
    total: u64,
    waiting_max: WaitingMax,
    held: u64,
    owners: HashMap<K, Part>,
    waiting: VecDeque<(u64, Claim<K>)>,
    next: u64,
}

/// One owner's part. An owner without any is forgotten.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    held: u64,
    waiting: usize,
}

impl<K: Copy + Eq + Hash> Shares<K> {
    /// Nothing is held of `total`.
    pub fn new(total: u64, waiting_max: WaitingMax) -> Self {
        Self { total, waiting_max, held: 0, owners: HashMap::new(), waiting: VecDeque::new(), next: 0 }
    }

    /// How much is held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a claim, or queues it behind waiting claims of its owners.
    pub fn take(&mut self, claim: Claim<K>) -> Standing {
        let waits_behind = claim.owners().any(|(owner, _)| self.part(owner).waiting > 0);
        if !waits_behind && self.fits(&claim) {
            self.hold(&claim);
            return Standing::Held;
        }
        let is_full = claim.owners().any(|(owner, _)| self.part(owner).waiting >= self.waiting_max.owner);
        if is_full || self.waiting.len() >= self.waiting_max.all {
            return Standing::Refused;
        }
        for (owner, _) in claim.owners() {
            self.owners.entry(owner).or_default().waiting += 1;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.push_back((number, claim));
        // The claims before it may wait for another owner's part: nothing changed for those.
        if self.let_in().contains(&number) { Standing::Held } else { Standing::Waits(number) }
    }

    /// Gives back a held claim. Returns the numbers of the waiting claims that are held now.
    pub fn give_back(&mut self, claim: &Claim<K>) -> Vec<u64> {
        self.held = self.held.saturating_sub(claim.amount);
        for (owner, _) in claim.owners() {
            self.change(owner, |part| part.held = part.held.saturating_sub(claim.amount));
        }
        self.let_in()
    }

    /// Removes a waiting claim. Returns the numbers of the claims that are held now because of that; `None`: the claim was held already.
    pub fn give_up(&mut self, number: u64) -> Option<Vec<u64>> {
        let at = self.waiting.iter().position(|(waiting, _)| *waiting == number)?;
        let (_, claim) = self.waiting.remove(at)?;
        self.no_longer_waits(&claim);
        Some(self.let_in())
    }

    /// Lets in the claims there is room for, in order of arrival for each owner.
    fn let_in(&mut self) -> Vec<u64> {
        let mut let_in = Vec::new();
        if self.waiting.is_empty() {
            return let_in;
        }
        let (mut still, mut blocked): (VecDeque<_>, Vec<K>) = (VecDeque::with_capacity(self.waiting.len()), Vec::new());
        for (number, claim) in std::mem::take(&mut self.waiting) {
            let is_behind = claim.owners().any(|(owner, _)| blocked.contains(&owner));
            if !is_behind && self.fits(&claim) {
                self.no_longer_waits(&claim);
                self.hold(&claim);
                let_in.push(number);
                continue;
            }
            // Only the owner without room is blocked: claims of others may share the second owner.
            let full = claim.owners().filter(|(owner, max)| !self.has_room(*owner, *max, claim.amount)).map(|(owner, _)| owner);
            blocked.extend(full);
            still.push_back((number, claim));
        }
        self.waiting = still;
        let_in
    }

    /// A claim larger than the whole budget fits when nothing else is held; otherwise it would wait for ever.
    fn fits(&self, claim: &Claim<K>) -> bool {
        self.held == 0 || claim.owners().all(|(owner, max)| self.has_room(owner, max, claim.amount)) && claim.amount <= self.free()
    }

    /// An owner that holds nothing may hold one claim that is larger than its maximum.
    fn has_room(&self, owner: K, max: u64, amount: u64) -> bool {
        let after = self.part(owner).held.saturating_add(amount);
        after <= self.free() && (after <= max || after == amount)
    }

    fn free(&self) -> u64 {
        self.total.saturating_sub(self.held)
    }

    fn part(&self, owner: K) -> Part {
        self.owners.get(&owner).copied().unwrap_or_default()
    }

    fn hold(&mut self, claim: &Claim<K>) {
        self.held = self.held.saturating_add(claim.amount);
        for (owner, _) in claim.owners() {
            self.owners.entry(owner).or_default().held += claim.amount;
        }
    }

    fn no_longer_waits(&mut self, claim: &Claim<K>) {
        for (owner, _) in claim.owners() {
            self.change(owner, |part| part.waiting = part.waiting.saturating_sub(1));
        }
    }

    fn change(&mut self, owner: K, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.owners.get_mut(&owner) {
            change(part);
            if part.held == 0 && part.waiting == 0 {
                self.owners.remove(&owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITING_MAX: WaitingMax = WaitingMax { all: 8, owner: 4 };

    fn of(owner: &'static str, amount: u64) -> Claim<&'static str> {
        Claim::new([Some((owner, 40)), None], amount)
    }

    #[test]
    fn an_owner_has_its_part_and_what_is_beyond_waits() {
        let mut shares = Shares::new(100, WAITING_MAX);
        assert_eq!(shares.take(of("a", 30)), Standing::Held);
        assert_eq!(shares.take(of("a", 20)), Standing::Waits(0));
        // It would fit, and stands behind one of its own.
        assert_eq!(shares.take(of("a", 5)), Standing::Waits(1));
        assert_eq!(shares.take(of("b", 40)), Standing::Held);
        assert_eq!(shares.give_back(&of("a", 30)), [0, 1]);
        assert_eq!((shares.held(), shares.waiting()), (65, 0));
    }

    #[test]
    fn each_owner_takes_half_of_what_is_left_at_most_so_that_the_next_finds_room() {
        let mut shares = Shares::new(1 << 20, WaitingMax { all: 10_000, owner: 1 });
        for owner in 0..8_u32 {
            let claim = Claim::new([Some((owner, 1 << 18)), None], 1 << 10);
            let before = shares.held();
            while shares.take(claim) == Standing::Held {}
            let (taken, left) = (shares.held() - before, (1 << 20) - shares.held());
            assert!(taken <= 1 << 18 && taken <= left, "owner {owner} took {taken} and left {left}");
        }
        let newcomer = Claim::new([Some((1000, 1 << 18)), None], 1 << 10);
        assert_eq!(shares.take(newcomer), Standing::Held);
    }

    #[test]
    fn one_owners_waiting_holds_up_nobody_else() {
        let mut shares = Shares::new(100, WAITING_MAX);
        assert_eq!(shares.take(of("a", 40)), Standing::Held);
        for number in 0..4 {
            assert_eq!(shares.take(of("a", 10)), Standing::Waits(number));
        }
        assert_eq!(shares.take(of("a", 10)), Standing::Refused, "as many of one owner wait as may");
        assert_eq!(shares.take(of("b", 10)), Standing::Held);
        // Two owners: the token has too much, and the address it is used from is others' as well.
        let both = |token, amount| Claim::new([Some(("gateway", 40)), Some((token, 10))], amount);
        assert_eq!((shares.take(both("t1", 10)), shares.take(both("t1", 10))), (Standing::Held, Standing::Waits(4)));
        assert_eq!(shares.take(both("t2", 10)), Standing::Held, "one of the same address waits, and not for the address");
        assert_eq!(shares.give_back(&both("t1", 10)), [4]);
    }

    #[test]
    fn what_is_larger_than_all_there_is_waits_for_the_rest_and_is_let_in() {
        let mut shares = Shares::new(100, WAITING_MAX);
        assert_eq!(shares.take(of("a", 60)), Standing::Held, "more than its maximum, and the only one it has");
        assert_eq!(shares.take(of("b", 1000)), Standing::Waits(0));
        assert_eq!(shares.give_back(&of("a", 60)), [0]);
        assert_eq!(shares.give_back(&of("b", 1000)), Vec::<u64>::new());
        assert_eq!(shares.held(), 0);
    }

    #[test]
    fn who_gives_up_makes_way_and_nobody_is_forgotten() {
        let mut shares = Shares::new(100, WAITING_MAX);
        assert_eq!(shares.take(of("a", 30)), Standing::Held);
        assert_eq!((shares.take(of("a", 40)), shares.take(of("a", 10))), (Standing::Waits(0), Standing::Waits(1)));
        assert_eq!(shares.give_up(0), Some(vec![1]));
        assert_eq!(shares.give_up(1), None, "it holds");
        assert_eq!((shares.give_back(&of("a", 30)), shares.give_back(&of("a", 10))), (vec![], vec![]));
        assert!(shares.owners.is_empty() && shares.held() == 0 && shares.waiting() == 0);
    }

    /// Random takers, leavers and givers: whatever the order, the sum is kept, and nobody waits beside room for all.
    #[test]
    fn sums_are_kept_and_nobody_sleeps_beside_room() {
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..200 {
            let mut shares = Shares::new(100, WAITING_MAX);
            let (mut held, mut waiting): (Vec<Claim<u64>>, HashMap<u64, Claim<u64>>) = (Vec::new(), HashMap::new());
            for _ in 0..200 {
                let let_in = match random(3) {
                    0 if !held.is_empty() => {
                        let claim = held.swap_remove(random(held.len() as u64) as usize);
                        shares.give_back(&claim)
                    }
                    1 if !waiting.is_empty() => {
                        let numbers: Vec<_> = waiting.keys().copied().collect();
                        let number = numbers[random(numbers.len() as u64) as usize];
                        waiting.remove(&number);
                        shares.give_up(number).expect("it waits")
                    }
                    _ => {
                        let claim = Claim::new([Some((random(3), 40)), Some((10 + random(2), 30))], 1 + random(120));
                        match shares.take(claim) {
                            Standing::Held => held.push(claim),
                            Standing::Waits(number) => drop(waiting.insert(number, claim)),
                            Standing::Refused => {}
                        }
                        Vec::new()
                    }
                };
                held.extend(let_in.iter().map(|number| waiting.remove(number).expect("it waited")));
                assert_eq!((shares.held(), shares.waiting()), (held.iter().map(|claim| claim.amount).sum(), waiting.len()));
                assert!(shares.held() > 0 || shares.waiting() == 0, "somebody waits and nothing is held");
            }
        }
    }
}
