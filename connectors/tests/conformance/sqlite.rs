//! What only the SQLite log can meet.
