//! Who is told what, over which channel, and the proof that it happened
