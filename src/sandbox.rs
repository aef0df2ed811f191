//! (to come)

pub mod partners;
pub mod pki; // throwaway certificate authority // simulated medical core and LTC system
