//! Simulated counterparts, throwaway PKI, a generated city: what `demo` and tests start.

pub mod city; // a city like Nanning and the packets its tax bureau sends
pub mod partners; // simulated medical core and LTC system
pub mod pki; // throwaway certificate authority
pub mod puller; // a provincial platform that pulls the registries
pub mod registries; // the registries of a city like Nanning, and the LTC system that sends them
pub mod stage; // a configuration folder with everything, and a gateway on it
pub mod tax_bureau; // simulated tax bureau: pushes packets, keeps books of its own
