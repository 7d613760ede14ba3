//! A slow, plain recomputation of the public contract, to judge the engine
