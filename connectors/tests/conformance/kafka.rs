//! What only the Kafka log can meet.
