//! SCRAM's channel binding `tls-server-end-point`: the hash of the server's certificate.
//!
//! The hash is that of the certificate's signature, SHA-256 in place of MD5 and SHA-1.
//! <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>

use sha2::{Digest as _, Sha256, Sha384, Sha512};

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Hashes a certificate in DER.
pub(super) fn tls_server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    // PKCS #1 (RFC 8017, RFC 3279) and ANSI X9.62 (RFC 5758).
    match signature_algorithm(certificate)? {
        // md5, sha1, sha256 with RSA; ECDSA with SHA-1, SHA-256
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05"
        | b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"
        | b"\x2a\x86\x48\xce\x3d\x04\x01"
        | b"\x2a\x86\x48\xce\x3d\x04\x03\x02" => Some(Sha256::digest(certificate).to_vec()),
        // with SHA-384
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c" | b"\x2a\x86\x48\xce\x3d\x04\x03\x03" => {
            Some(Sha384::digest(certificate).to_vec())
        }
        // with SHA-512
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d" | b"\x2a\x86\x48\xce\x3d\x04\x03\x04" => {
            Some(Sha512::digest(certificate).to_vec())
        }
        _ => None,
    }
}

/// Finds the object identifier in `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, … }`.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_signed, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    Some(element(algorithm, OBJECT_IDENTIFIER)?.0)
}

/// Splits the first element off: its content, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[first, length], rest) = der.split_first_chunk()?;
    if first != tag {
        return None;
    }
    if length < 0x80 {
        return rest.split_at_checked(length.into());
    }
    let (length, rest) = rest.split_at_checked((length & 0x7f).into())?;
    if length.len() > 4 {
        return None;
    }
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, length) in [
            (&PKCS_ECDSA_P256_SHA256, Some(32)),
            (&PKCS_ECDSA_P384_SHA384, Some(48)),
            (&PKCS_ED25519, None),
        ] {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let certificate = CertificateParams::new(["db.test".to_owned()])
                .unwrap()
                .self_signed(&key)
                .unwrap();
            let hash = tls_server_end_point(certificate.der());
            assert_eq!(hash.map(|hash| hash.len()), length);
        }
    }

    #[test]
    fn what_is_no_certificate_has_none() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x02\x30\x00",
            b"\x02\x01\x00",
        ] {
            assert_eq!(tls_server_end_point(bytes), None);
        }
    }
}
