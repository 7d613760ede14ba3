//! How an idle writer learns that somebody else has taken over its name.
//!
//! A busy writer is told by its next append ([`crate::log::LogError::Fenced`]). An idle one has to ask, by
//! an append that says nothing new. It need not ask all the time: whoever takes a name over writes its
//! progress at once, so the end of that partition of `progress` moves.

/// Decides when to ask. Pure: the caller looks at the end every two seconds or so, and appends.
///
/// ```text
///   the end moved, and we had not written       -> ask now
///   we had written since the last look          -> that may be why it moved, and somebody else's
///                                                  writing may hide behind ours: ask at the next look
///   we write all the time                       -> our appends are the asking
/// ```
#[derive(Debug, Default)]
pub struct FenceWatch {
    end: Option<u64>,
    wrote: bool,
    unsure: bool,
}

impl FenceWatch {
    /// The writer has appended something of its own accord.
    pub fn wrote(&mut self) {
        self.wrote = true;
    }

    /// The end of the writer's partition of `progress`, looked up now. True: append the progress that
    /// stands, once more, and then say so by [`FenceWatch::asked`].
    pub fn look(&mut self, end: u64) -> bool {
        let moved = self.end.replace(end).is_some_and(|before| before != end);
        if std::mem::take(&mut self.wrote) {
            self.unsure = true;
            return false;
        }
        moved || self.unsure
    }

    /// The asking append went through: nobody has taken over. `end`: looked up right after it.
    pub fn asked(&mut self, end: u64) {
        *self = FenceWatch { end: Some(end), wrote: false, unsure: false };
    }
}

#[cfg(test)]
mod tests {
    use super::FenceWatch;

    #[test]
    fn an_idle_writer_asks_when_the_end_moves_and_only_then() {
        let mut watch = FenceWatch::default();
        assert!(!watch.look(7));
        assert!(!watch.look(7));
        assert!(watch.look(9));
        watch.asked(11);
        assert!(!watch.look(11));
    }

    #[test]
    fn what_was_written_just_before_is_no_alibi() {
        let mut watch = FenceWatch::default();
        assert!(!watch.look(7));
        watch.wrote();
        // Ours and somebody else's: the look cannot tell, the next one asks.
        assert!(!watch.look(11));
        assert!(watch.look(11));
        watch.asked(13);
        assert!(!watch.look(13), "once is enough");
    }

    #[test]
    fn a_busy_writer_never_asks() {
        let mut watch = FenceWatch::default();
        for end in 0..5 {
            watch.wrote();
            assert!(!watch.look(end));
        }
    }
}
