//! PHC strings of Argon2, with limits: hashes may be imported, and the author of such a string chooses how much work
//! it takes.

use argon2::password_hash::phc::{Decimal, Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// The length of a salt in bytes (RFC 9106, section 3.1).
pub(super) const SALT_LEN: usize = 16;

/// The length of a hash in bytes.
const HASH_LEN: usize = 32;

/// The most that checking a stored hash may cost.
const MAX: Cost = Cost { memory_kib: 64 * 1_024, passes: 10, lanes: 16 };

/// The cost of one hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that an attacker may compute in parallel. The broker computes them one after another.
    pub lanes: u32,
}

impl Default for Cost {
    /// The first recommendation of OWASP's password storage cheat sheet for Argon2id: 19 MiB, two passes, one
    /// lane.
    fn default() -> Self {
        Self { memory_kib: 19 * 1_024, passes: 2, lanes: 1 }
    }
}

impl Cost {
    fn params(self) -> Result<Params, PhcError> {
        let within =
            self.memory_kib <= MAX.memory_kib && self.passes <= MAX.passes && self.lanes <= MAX.lanes;
        if !within {
            return Err(PhcError::TooExpensive);
        }
        Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_LEN)).map_err(|_| PhcError::Malformed)
    }
}

/// Why a PHC string is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhcError {
    /// Not a PHC string of Argon2 with version, salt and hash, or with parameters that Argon2 does not allow.
    #[error("not an Argon2 hash in PHC form")]
    Malformed,
    /// Checking it would take more than 64 MiB, ten passes or sixteen lanes.
    #[error("the hash demands more memory or time than is allowed")]
    TooExpensive,
}

/// Whether an imported hash can be checked at sign-in.
pub fn check_phc(phc: &str) -> Result<(), PhcError> {
    StoredHash::parse(phc).map(drop)
}

/// A hash to check passwords against.
pub(super) struct StoredHash {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Salt,
    hash: Output,
}

impl StoredHash {
    pub(super) fn parse(phc: &str) -> Result<Self, PhcError> {
        let parsed = PasswordHash::new(phc).map_err(|_| PhcError::Malformed)?;
        let params = Params::try_from(&parsed).map_err(|_| PhcError::Malformed)?;
        if !params.keyid().is_empty() || !params.data().is_empty() {
            return Err(PhcError::Malformed);
        }
        let cost = Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        cost.params()?;
        let version = parsed.version.and_then(|version| Version::try_from(version).ok());
        Ok(Self {
            algorithm: Algorithm::try_from(parsed.algorithm.as_str()).map_err(|_| PhcError::Malformed)?,
            version: version.ok_or(PhcError::Malformed)?,
            params,
            salt: parsed.salt.ok_or(PhcError::Malformed)?,
            hash: parsed.hash.ok_or(PhcError::Malformed)?,
        })
    }

    /// A hash of `cost` that no password matches. Names without an account are checked against it.
    pub(super) fn of_nobody(cost: Cost) -> Result<Self, PhcError> {
        Ok(Self {
            algorithm: Algorithm::Argon2id,
            version: Version::V0x13,
            params: cost.params()?,
            salt: Salt::new(&[0; SALT_LEN]).map_err(|_| PhcError::Malformed)?,
            hash: Output::new(&[0; HASH_LEN]).map_err(|_| PhcError::Malformed)?,
        })
    }

    /// Whether `password` has this hash.
    pub(super) fn matches(&self, password: &[u8], memory: &mut Vec<Block>) -> Result<bool, argon2::Error> {
        let mut found = zeroize::Zeroizing::new(vec![0; self.hash.len()]);
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        run(&argon2, password, &self.salt, &mut found, memory)?;
        Ok(crate::crypto::constant_time_eq(&found, self.hash.as_ref()))
    }

    /// Whether a hash of `cost` would be harder to guess than this one.
    pub(super) fn is_weaker_than(&self, cost: Cost) -> bool {
        self.algorithm != Algorithm::Argon2id
            || self.version != Version::V0x13
            || self.params.m_cost() < cost.memory_kib
            || self.params.t_cost() < cost.passes
            || self.salt.len() < SALT_LEN
            || self.hash.len() < HASH_LEN
    }
}

/// The PHC string of `password`.
pub(super) fn hash(
    password: &[u8],
    salt: [u8; SALT_LEN],
    cost: Cost,
    memory: &mut Vec<Block>,
) -> Result<String, PhcError> {
    let params = cost.params()?;
    let written = ParamsString::try_from(&params).map_err(|_| PhcError::Malformed)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; HASH_LEN];
    run(&argon2, password, &salt, &mut output, memory).map_err(|_| PhcError::Malformed)?;
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Decimal::from(Version::V0x13)),
        params: written,
        salt: Some(Salt::new(&salt).map_err(|_| PhcError::Malformed)?),
        hash: Some(Output::new(&output).map_err(|_| PhcError::Malformed)?),
    };
    Ok(phc.to_string())
}

/// Hashes in `memory`, which grows and shrinks to what this hash needs.
fn run(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    output: &mut [u8],
    memory: &mut Vec<Block>,
) -> Result<(), argon2::Error> {
    let blocks = argon2.params().block_count();
    memory.resize(blocks.max(1), Block::new());
    memory.shrink_to(blocks);
    argon2.hash_password_into_with_memory(password, salt, output, memory.as_mut_slice())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cheap enough for many hashes in one test.
    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    /// The test suite of the reference implementation: "password" with the salt "somesalt".
    const REFERENCE: [&str; 3] = [
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    ];

    fn matches(password: &str, phc: &str) -> bool {
        StoredHash::parse(phc).unwrap().matches(password.as_bytes(), &mut Vec::new()).unwrap()
    }

    #[test]
    fn hashes_of_the_reference_implementation_are_understood() {
        for phc in REFERENCE {
            assert!(matches("password", phc), "{phc}");
            assert!(!matches("Password", phc) && !matches("", phc), "{phc}");
        }
    }

    #[test]
    fn a_new_hash_is_argon2id_at_the_parameters_of_owasp() {
        let phc = hash(b"secret", [7; SALT_LEN], Cost::default(), &mut Vec::new()).unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"), "{phc}");
        assert!(matches("secret", &phc));
        assert!(!StoredHash::parse(&phc).unwrap().is_weaker_than(Cost::default()));
    }

    #[test]
    fn every_letter_counts_to_the_last() {
        let long = format!("{}a", "x".repeat(super::super::MAX_PASSWORD_BYTES - 1));
        let phc = hash(long.as_bytes(), [0; SALT_LEN], CHEAP, &mut Vec::new()).unwrap();
        assert!(matches(&long, &phc));
        assert!(!matches(&long.replace('a', "b"), &phc) && !matches(&long[..long.len() - 1], &phc));
    }

    #[test]
    fn memory_left_over_from_another_hash_changes_nothing() {
        let mut memory = Vec::new();
        for phc in [REFERENCE[2], REFERENCE[0], REFERENCE[2], REFERENCE[1]] {
            assert!(StoredHash::parse(phc).unwrap().matches(b"password", &mut memory).unwrap(), "{phc}");
        }
        assert!(memory.capacity() < 1_024, "the memory of an expensive import is kept");
    }

    #[test]
    fn an_unknown_name_costs_as_much_as_a_known_one() {
        let somebody = hash(b"secret", [7; SALT_LEN], Cost::default(), &mut Vec::new()).unwrap();
        let somebody = StoredHash::parse(&somebody).unwrap();
        let nobody = StoredHash::of_nobody(Cost::default()).unwrap();
        assert_eq!(nobody.params, somebody.params);
        assert_eq!((nobody.algorithm, nobody.version), (somebody.algorithm, somebody.version));
        assert_eq!((nobody.salt.len(), nobody.hash.len()), (somebody.salt.len(), somebody.hash.len()));
    }

    #[test]
    fn a_hash_that_would_cost_too_much_is_refused() {
        for parameters in [
            "m=65537,t=1,p=1",
            "m=4294967295,t=1,p=1",
            "m=256,t=11,p=1",
            "m=256,t=4294967295,p=1",
            "m=256,t=1,p=17",
        ] {
            let phc = format!(
                "$argon2id$v=19${parameters}$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
            );
            assert_eq!(check_phc(&phc), Err(PhcError::TooExpensive), "{phc}");
        }
        for cost in
            [Cost { memory_kib: 65_537, ..CHEAP }, Cost { passes: 11, ..CHEAP }, Cost { lanes: 17, ..CHEAP }]
        {
            assert_eq!(StoredHash::of_nobody(cost).err(), Some(PhcError::TooExpensive), "{cost:?}");
        }
    }

    #[test]
    fn a_text_that_is_not_an_argon2_hash_is_refused() {
        for phc in [
            "",
            "password",
            "$2b$12$EXRkfkdmXn2gzds2SSitu.MW9.gAVqa9eLS1//RYtYCmB1eLHg.9q",
            "$pbkdf2-sha256$i=600000$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=18$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=7,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=8,t=2,p=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1,keyid=AAAA$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4$x",
            "$argon3$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ] {
            assert_eq!(check_phc(phc), Err(PhcError::Malformed), "{phc}");
        }
    }

    #[test]
    fn a_weaker_hash_is_known_as_such() {
        let weaker = |phc: &str, cost| StoredHash::parse(phc).unwrap().is_weaker_than(cost);
        let of = |cost| hash(b"secret", [7; SALT_LEN], cost, &mut Vec::new()).unwrap();
        let phc = of(CHEAP);
        assert!(!weaker(&phc, CHEAP));
        assert!(weaker(&phc, Cost { memory_kib: 65, ..CHEAP }) && weaker(&phc, Cost { passes: 2, ..CHEAP }));
        assert!(!weaker(&of(Cost { memory_kib: 128, passes: 2, lanes: 1 }), CHEAP));
        assert!(
            weaker(&phc.replace("argon2id", "argon2i"), CHEAP) && weaker(&phc.replace("v=19", "v=16"), CHEAP)
        );
        assert!(weaker(REFERENCE[2], Cost::default()), "a salt of eight bytes");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(
            text in r"(\$?(argon2id|v=19|m=[0-9]{0,11}|t=1,p=1|[a-zA-Z0-9+/=]{0,30}|,)){0,8}",
        ) {
            let _ = check_phc(&text);
        }
    }
}
