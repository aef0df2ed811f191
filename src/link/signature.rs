//! Whether an authority signed something: with the algorithms of a handshake, or with SM2 over SM3 (GB/T 32918.2),
//! which no handshake of ours takes but certificates passed on by a TLCP gateway bear.

use sm2::dsa::signature::Verifier;
use x509_parser::prelude::X509Certificate;

/// The user id of signatures in certificates and lists (GM/T 0009).
const USER_ID: &str = "1234567812345678";
/// The curve of SM2 keys, sm2p256v1 (GM/T 0006).
const SM2_CURVE: &str = "1.2.156.10197.1.301";
/// SM2 with SM3, as the algorithm of a signature (GM/T 0006).
const SM2_WITH_SM3: &str = "1.2.156.10197.1.501";
/// Bytes of one of a signature's two numbers.
const NUMBER: usize = 32;

/// Whether the authority's key made this signature over the message; `algorithm` is the object identifier beside it.
pub(super) fn signed_by(
    authority: &X509Certificate<'_>,
    (message, algorithm, signature): (&[u8], &str, &[u8]),
) -> bool {
    let key: &[u8] = &authority.public_key().subject_public_key.data;
    if algorithm == SM2_WITH_SM3 {
        return is_sm2(authority) && signed_with_sm2(key, message, signature).unwrap_or(false);
    }
    let known = super::provider().signature_verification_algorithms.all;
    known
        .iter()
        .any(|known| known.verify_signature(key, message, signature).is_ok())
}

/// Whether a certificate's key is on the curve of SM2.
pub(super) fn is_sm2(certificate: &X509Certificate<'_>) -> bool {
    let parameters = certificate.public_key().algorithm.parameters.as_ref();
    parameters
        .and_then(|curve| curve.as_oid().ok())
        .is_some_and(|curve| curve.to_id_string() == SM2_CURVE)
}

fn signed_with_sm2(key: &[u8], message: &[u8], signature: &[u8]) -> Option<bool> {
    let key = sm2::dsa::VerifyingKey::from_sec1_bytes(USER_ID, key).ok()?;
    let signature = sm2::dsa::Signature::from_slice(&both_numbers(signature)?).ok()?;
    Some(key.verify(message, &signature).is_ok())
}

/// r and s, each 32 bytes, out of their DER sequence.
fn both_numbers(der: &[u8]) -> Option<[u8; 2 * NUMBER]> {
    let (rest, sequence) = x509_parser::der_parser::parse_der(der).ok()?;
    let [r, s] = sequence.as_sequence().ok()?.as_slice() else {
        return None;
    };
    let mut both = [0; 2 * NUMBER];
    for (number, place) in [r, s].into_iter().zip(both.chunks_exact_mut(NUMBER)) {
        let bytes = number.as_slice().ok()?;
        let bytes = &bytes[bytes.iter().position(|byte| *byte != 0)?..];
        place
            .get_mut(NUMBER.checked_sub(bytes.len())?..)?
            .copy_from_slice(bytes);
    }
    rest.is_empty().then_some(both)
}
