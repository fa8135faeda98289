//! Who is selected by a trigger, at a cost of the matches rather than of all that is subscribed.

use std::collections::HashMap;

use super::{Kind, Selector, family_operation};
use crate::model::trigger::{
    Trigger,
    arcgis::{FEATURE_EDITS, FEATURES_EDITED, Family},
};

/// Selectors by what they say. Built once for a set of subscriptions, and again when the set changes.
///
/// A lookup probes one table per segment of the trigger, and what it finds are matches only.
#[derive(Clone, Debug)]
pub struct SelectorIndex<T> {
    entries: Vec<T>,
    everything: Vec<u32>,
    every_path: Vec<u32>,
    family_operations: HashMap<(Family, &'static str), Vec<u32>>,
    path_prefixes: HashMap<String, Vec<u32>>,
    words: HashMap<String, Vec<u32>>,
    word_prefixes: HashMap<String, Vec<u32>>,
}

impl<T> SelectorIndex<T> {
    /// An index of `entries`, each with its selectors. One without selectors is never found.
    pub fn new<S: AsRef<[Selector]>>(entries: impl IntoIterator<Item = (S, T)>) -> Self {
        let mut index = Self {
            entries: Vec::new(),
            everything: Vec::new(),
            every_path: Vec::new(),
            family_operations: HashMap::new(),
            path_prefixes: HashMap::new(),
            words: HashMap::new(),
            word_prefixes: HashMap::new(),
        };
        for (selectors, entry) in entries {
            // Four thousand million subscriptions do not fit into memory; beyond that nothing is indexed.
            let Ok(number) = u32::try_from(index.entries.len()) else { break };
            index.entries.push(entry);
            for selector in selectors.as_ref() {
                index.add(selector, number);
            }
        }
        index
    }

    fn add(&mut self, selector: &Selector, number: u32) {
        match &selector.kind {
            Kind::Everything => self.everything.push(number),
            Kind::EveryPath => self.every_path.push(number),
            Kind::FamilyOperation(family, operation) => self.family_operations.entry((*family, operation)).or_default().push(number),
            Kind::PathPrefix(path) => self.path_prefixes.entry(path.clone()).or_default().push(number),
            Kind::WordPrefix(prefix) => self.word_prefixes.entry(prefix.clone()).or_default().push(number),
            Kind::Word(word) => {
                self.words.entry(word.clone()).or_default().push(number);
                if word == FEATURES_EDITED {
                    for edit in FEATURE_EDITS {
                        self.words.entry(edit.to_owned()).or_default().push(number);
                    }
                }
            }
        }
    }

    /// The entries with a selector that matches, each once, in the order given to [`SelectorIndex::new`].
    pub fn lookup(&self, trigger: &Trigger) -> impl Iterator<Item = &T> {
        let mut found: Vec<u32> = Vec::new();
        let mut take = |numbers: Option<&Vec<u32>>| found.extend(numbers.into_iter().flatten());
        let name = trigger.as_str();
        if !trigger.is_operational() {
            take(Some(&self.everything));
        }
        if trigger.is_path() {
            take(Some(&self.every_path));
            take(family_operation(trigger).and_then(|key| self.family_operations.get(&key)));
            for end in name.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at).chain([name.len()]) {
                take(self.path_prefixes.get(&name[..end]));
            }
        } else {
            take(self.words.get(name));
            for (dot, _) in name.match_indices('.').filter(|(dot, _)| dot + 1 < name.len()) {
                take(self.word_prefixes.get(&name[..=dot]));
            }
        }
        // Each table gives ascending runs, which this sort merges.
        found.sort();
        found.dedup();
        found.into_iter().filter_map(|number| self.entries.get(number as usize))
    }

    /// Everything in it.
    pub fn entries(&self) -> &[T] {
        &self.entries
    }
}

impl<T> Default for SelectorIndex<T> {
    fn default() -> Self {
        Self::new(Vec::<(Vec<Selector>, T)>::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A linear congruential generator: the same numbers on every run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) as usize) % sides
        }

        fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
            choices[self.roll(choices.len())]
        }
    }

    const FIRST: [&str; 7] = ["items", "groups", "users", "roles", "Items", "services", "s"];
    const SECOND: [&str; 9] = ["a", "b", "add", "share", "signIn", "SIGNIN", "update", "A", "itemShare"];
    const WORDS: [&str; 9] =
        ["a", "a.b", "a.b.c", "FeaturesEdited", "FeaturesCreated", "FeaturesDeleted", "webhook", "webhook.failed", "webhook.x.y"];

    fn text(dice: &mut Dice, selector: bool) -> String {
        match dice.roll(if selector { 8 } else { 5 }) {
            0 => format!("/{}", dice.of(&FIRST)),
            1 => format!("/{}/{}", dice.of(&FIRST), dice.of(&SECOND)),
            2 | 3 => format!("/{}/{}/{}", dice.of(&FIRST), dice.of(&SECOND), dice.of(&SECOND)),
            4 => dice.of(&WORDS).to_owned(),
            5 => "*".to_owned(),
            6 => "/".to_owned(),
            _ => format!("{}.*", dice.of(&WORDS)),
        }
    }

    #[test]
    fn a_lookup_finds_what_asking_each_selector_finds() {
        let mut dice = Dice(7);
        let mut hits = 0;
        for _ in 0..200 {
            let lists: Vec<(Vec<Selector>, usize)> = (0..30)
                .map(|number| {
                    let count = dice.roll(4);
                    ((0..count).filter_map(|_| Selector::parse(&text(&mut dice, true)).ok()).collect(), number)
                })
                .collect();
            let index = SelectorIndex::new(lists.iter().map(|(selectors, number)| (selectors, *number)));
            for _ in 0..60 {
                let Ok(trigger) = Trigger::parse(&text(&mut dice, false)) else { continue };
                let expected: Vec<usize> = lists
                    .iter()
                    .filter(|(selectors, _)| selectors.iter().any(|s| s.matches(&trigger)))
                    .map(|(_, number)| *number)
                    .collect();
                let found: Vec<usize> = index.lookup(&trigger).copied().collect();
                assert_eq!(found, expected, "{trigger}");
                hits += found.len();
            }
        }
        assert!(hits > 10_000, "the generator has to generate matches: {hits}");
    }

    #[test]
    fn an_entry_is_found_once_and_in_order() {
        let parse = |texts: &[&str]| texts.iter().map(|text| Selector::parse(text).unwrap()).collect::<Vec<_>>();
        let index = SelectorIndex::new([
            (parse(&["*"]), "last"),
            (parse(&["/items/share", "/items", "/", "/items/a"]), "many"),
            (parse(&[]), "none"),
            (parse(&["/items/a/share"]), "exact"),
        ]);
        let found: Vec<_> = index.lookup(&Trigger::parse("/items/a/share").unwrap()).copied().collect();
        assert_eq!(found, ["last", "many", "exact"]);
        assert_eq!(SelectorIndex::<u8>::default().lookup(&Trigger::parse("x").unwrap()).count(), 0);
    }
}
