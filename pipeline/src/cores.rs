//! Work on very many things at once, on all cores, where it is worth waking them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::slice::ParallelSliceMut;

/// Below so many things one core is done before another has woken: a batch of reports goes its way alone.
const WORTH: usize = 512;

/// What is made of each, in the order of the things, whichever core made it.
pub(crate) fn each<T: Sync, R: Send>(things: &[T], make: impl Fn(&T) -> R + Sync) -> Vec<R> {
    some(things, |thing| Some(make(thing)))
}

/// The same of those of which something is made.
pub(crate) fn some<'a, T: Sync, R: Send>(
    things: &'a [T],
    make: impl Fn(&'a T) -> Option<R> + Sync,
) -> Vec<R> {
    let (all, many) = (things.len(), parts_of(things.len()));
    if many == 1 {
        return things.iter().filter_map(make).collect();
    }
    let part = |n| {
        let of = &things[all * n / many..all * (n + 1) / many];
        let mut made = Vec::with_capacity(of.len());
        made.extend(of.iter().filter_map(&make));
        made
    };
    joined(parts(many, part))
}

/// What was made in parts, in one.
pub(crate) fn joined<T>(parts: Vec<Vec<T>>) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    parts.into_iter().for_each(|mut part| all.append(&mut part));
    all
}

/// Sorts, each once.
pub(crate) fn sort<T: Ord + Send>(things: &mut Vec<T>) {
    things.par_sort_unstable();
    things.dedup();
}

/// Sorts by a key; of equal keys in any order.
pub(crate) fn order<T: Send, K: Ord>(things: &mut [T], key: impl Fn(&T) -> K + Sync) {
    things.par_sort_unstable_by_key(key);
}

/// What is made of each of a few large things. Each is made by whoever comes to it first, the caller among them: it begins
/// at once, while the others wake.
pub(crate) fn each_of<T: Send, R: Send>(things: Vec<T>, make: impl Fn(T) -> R + Sync) -> Vec<R> {
    let helpers = rayon::current_num_threads().min(things.len()).saturating_sub(1);
    if helpers == 0 {
        return things.into_iter().map(make).collect();
    }
    let cells: Vec<_> = things.into_iter().map(|thing| Mutex::new((Some(thing), None))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (thing, made) = &mut *cell.lock().unwrap_or_else(PoisonError::into_inner);
            *made = thing.take().map(&make);
        }
    };
    rayon::in_place_scope(|scope| {
        (0..helpers).for_each(|_| scope.spawn(|_| work()));
        work();
    });
    let made = cells.into_iter().map(|cell| cell.into_inner().unwrap_or_else(PoisonError::into_inner));
    made.filter_map(|(_, made)| made).collect()
}

/// `part(n)` for each n below `parts`, in order.
pub(crate) fn parts<R: Send>(parts: usize, part: impl Fn(usize) -> R + Sync) -> Vec<R> {
    each_of((0..parts).collect(), part)
}

/// How many things are fetched from memory at once; see [`touch`].
pub(crate) const AT_HAND: usize = 16;

/// Reads something of each of a few things that lie here and there, before they are worked on one after the other: these
/// reads wait for no other, so the memory answers all of them at once.
pub(crate) fn touch(lines: impl Iterator<Item = i32>) {
    std::hint::black_box(lines.fold(0, i32::wrapping_add));
}

/// In how many parts so many things are best taken: some for each core, so that one which is late holds nobody up;
/// none so small that it is not worth it.
pub(crate) fn parts_of(things: usize) -> usize {
    (rayon::current_num_threads() * 8).min(things / WORTH).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_or_many_the_order_is_that_of_the_things() {
        for many in [0, 1, WORTH - 1, WORTH, 20 * WORTH + 3] {
            let things: Vec<usize> = (0..many).collect();
            assert_eq!(each(&things, |n| n * 3), things.iter().map(|n| n * 3).collect::<Vec<_>>());
            let even = |n: &usize| n.is_multiple_of(2).then_some(*n);
            assert_eq!(some(&things, even), things.iter().filter_map(even).collect::<Vec<_>>());
            let mut twice: Vec<usize> = things.iter().rev().chain(&things).copied().collect();
            sort(&mut twice);
            assert_eq!(twice, things);
            assert_eq!(each_of(things.clone(), |n| n * 3), each(&things, |n| n * 3));
            order(&mut twice, |n| many - n);
            assert_eq!(twice, things.iter().rev().copied().collect::<Vec<_>>());
            let count = parts_of(many);
            let ranges = parts(count, |n| many * n / count..many * (n + 1) / count);
            assert_eq!(ranges.into_iter().flatten().collect::<Vec<_>>(), things);
        }
    }
}
