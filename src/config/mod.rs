//! The one TOML file of the service.
