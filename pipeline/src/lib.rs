//! What is so and what is said of it: pure, on differential dataflow
