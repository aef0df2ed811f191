//! The gateway as its partners meet it: real PostgreSQL, real mutual TLS, a database per test.

mod collect;
mod cut;
mod database;
mod deduct;
mod deliver;
mod failover;
mod fhir;
mod journal;
mod listener;
mod packet;
mod pull;
mod push;
mod refusals;
mod registered;
mod registry;
mod report;
mod reversal;
mod roster;
mod sameness;
mod sessions;
mod split;
mod standing;
mod support;
mod transfer;
