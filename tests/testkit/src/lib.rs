//! What the tests stand on: a real broker, generators, a gateway on loopback
