//! The one stateful operator of our own: changes of an epoch, gathered, given to a state at once.
//!
//! Where a rule looks at all reports of a person, or all cases of an enterprise, a stock `reduce` would
//! hold every report twice more. Here the state holds each once, by pointer, and the rule is run for the
//! old and the new state of what an epoch touched; the difference is what goes on.
//!
//! Input is exchanged by `route`, stashed by epoch and applied when the frontier has passed the epoch, so
//! a state sees all changes of an epoch together and epochs in order. That makes the output a function of
//! the accumulated input, whatever the number of workers.

use std::collections::BTreeMap;

use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

/// Logical time: the number of the batch, and nothing else.
pub(crate) type Epoch = u64;

/// Changes of a collection: what, when, and by how much.
pub(crate) type Changes<'scope, D> = Stream<'scope, Epoch, Vec<(D, Epoch, isize)>>;

/// Where a record goes: equal keys to one worker.
pub(crate) fn route<K: std::hash::Hash>(key: &K) -> u64 {
    differential_dataflow::Hashable::hashed(key)
}

/// Runs `step(changes of one epoch, out)` once for each epoch that has changes, in order.
pub(crate) fn keyed<'scope, I, O>(
    input: Changes<'scope, I>,
    name: &str,
    route: impl Fn(&I) -> u64 + 'static,
    mut step: impl FnMut(Vec<(I, isize)>, &mut Vec<(O, isize)>) + 'static,
) -> Changes<'scope, O>
where
    I: ExchangeData,
    O: Clone + 'static,
{
    let pact = Exchange::new(move |update: &(I, Epoch, isize)| route(&update.0));
    input.unary_frontier(pact, name, move |_capability, _info| {
        let mut stash: BTreeMap<Epoch, (Option<Capability<Epoch>>, Vec<(I, isize)>)> = BTreeMap::new();
        let mut out = Vec::new();
        move |(input, frontier), output| {
            input.for_each(|capability, data| {
                let kept = capability.retain_least(0);
                for (item, epoch, diff) in data.drain(..) {
                    stash.entry(epoch).or_default().1.push((item, diff));
                }
                if let Some(kept) = kept {
                    let place = stash.entry(*kept.time()).or_default();
                    place.0.get_or_insert(kept);
                }
            });
            while let Some(entry) = stash.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (capability, changes)) = entry.remove_entry();
                // The inputs of this crate send each epoch under its own capability.
                let Some(capability) = capability else { continue };
                step(changes, &mut out);
                output
                    .session(&capability)
                    .give_iterator(out.drain(..).map(|(item, diff)| (item, epoch, diff)));
            }
        }
    })
}
