//! The one stateful operator of our own: changes of an epoch, gathered, given to a state at once.
//!
//! Where a rule looks at all reports of a person, or all cases of an enterprise, a stock `reduce` would
//! hold every report twice more. Here the state holds each once, by pointer, and the rule is run for the
//! old and the new state of what an epoch touched; the difference is what goes on.
//!
//! [`summed`] is the plainest such state: a sum for each key. A stock `count` keeps what was added and what
//! came out in two traces with their times; epochs are in a line and only the present sum is ever asked for.
//!
//! Input is exchanged by `route`, stashed by epoch and applied when the frontier has passed the epoch, so
//! a state sees all changes of an epoch together and epochs in order. That makes the output a function of
//! the accumulated input, whatever the number of workers.

use std::collections::BTreeMap;
use std::hash::Hash;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

/// Logical time: the number of the batch, and nothing else.
pub(crate) type Epoch = u64;

/// Changes of a collection: what, when, and by how much.
pub(crate) type Changes<'scope, D, R = isize> = Stream<'scope, Epoch, Vec<(D, Epoch, R)>>;

/// Where a record goes: equal keys to one worker.
pub(crate) fn route<K: std::hash::Hash>(key: &K) -> u64 {
    differential_dataflow::Hashable::hashed(key)
}

/// What came and is not whole yet, with the right to answer it.
type Stash<I, R> = BTreeMap<Epoch, (Capability<Epoch>, Vec<(I, R)>)>;

/// Runs `step(changes of one epoch, out)` once for each epoch that has changes, in order.
pub(crate) fn keyed<'scope, I, R, O>(
    input: Changes<'scope, I, R>,
    name: &str,
    route: impl Fn(&I) -> u64 + 'static,
    mut step: impl FnMut(Vec<(I, R)>, &mut Vec<(O, isize)>) + 'static,
) -> Changes<'scope, O>
where
    I: ExchangeData,
    R: ExchangeData,
    O: Clone + 'static,
{
    let pact = Exchange::new(move |update: &(I, Epoch, R)| route(&update.0));
    input.unary_frontier(pact, name, move |_capability, _info| {
        let mut stash: Stash<I, R> = BTreeMap::new();
        let mut out = Vec::new();
        move |(input, frontier), output| {
            input.for_each(|capability, data| {
                for (item, epoch, diff) in data.drain(..) {
                    let place = stash.entry(epoch);
                    let (_, changes) = place.or_insert_with(|| (capability.delayed(&epoch, 0), Vec::new()));
                    changes.push((item, diff));
                }
            });
            while let Some(entry) = stash.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (capability, changes)) = entry.remove_entry();
                step(changes, &mut out);
                output
                    .session(&capability)
                    .give_iterator(out.drain(..).map(|(item, diff)| (item, epoch, diff)));
            }
        }
    })
}

/// For each key the sum of what was added to it; a key whose sum is zero is not there.
pub(crate) fn summed<'scope, K, R>(
    input: VecCollection<'scope, Epoch, K, R>,
    name: &str,
) -> VecCollection<'scope, Epoch, (K, R)>
where
    K: ExchangeData + Clone + Hash + Ord,
    R: ExchangeData + Copy + Semigroup,
{
    let mut sums: HashMap<K, R> = HashMap::new();
    let step = move |mut changes: Vec<(K, R)>, out: &mut Vec<((K, R), isize)>| {
        consolidate(&mut changes);
        for (key, change) in changes {
            match sums.entry(key) {
                Entry::Occupied(mut place) => {
                    out.push(((place.key().clone(), *place.get()), -1));
                    place.get_mut().plus_equals(&change);
                    if place.get().is_zero() {
                        place.remove();
                    } else {
                        out.push(((place.key().clone(), *place.get()), 1));
                    }
                }
                Entry::Vacant(place) => {
                    out.push(((place.key().clone(), change), 1));
                    place.insert(change);
                }
            }
        }
    };
    keyed(input.inner, name, |key| route(key), step).as_collection()
}
