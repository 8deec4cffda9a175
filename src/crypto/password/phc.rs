//! PHC strings of Argon2, bounded: hashes may be imported, and whoever writes the string sets the work it takes.

use argon2::password_hash::phc::{Decimal, Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// The length of a salt in bytes (RFC 9106, section 3.1).
pub(super) const SALT_LEN: usize = 16;

/// The length of a hash in bytes.
const HASH_LEN: usize = 32;

/// The most that a stored hash may cost to check.
const MAX: Cost = Cost { memory_kib: 64 * 1_024, passes: 10, lanes: 16 };

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes that an attacker may compute side by side; this program computes them one after another.
    pub lanes: u32,
}

impl Default for Cost {
    /// The first recommendation of OWASP's password storage cheat sheet for Argon2id: 19 MiB, two passes, one lane.
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

/// Why a PHC string is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PhcError {
    /// Not a PHC string of Argon2 with version, salt and hash, or with parameters that Argon2 does not have.
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

/// A hash that passwords are held against.
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
            salt: parsed.salt.filter(|salt| salt.len() >= argon2::MIN_SALT_LEN).ok_or(PhcError::Malformed)?,
            hash: parsed.hash.ok_or(PhcError::Malformed)?,
        })
    }

    /// A hash of `cost` that no password has: what names without an account are held against.
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

/// Hashes in `memory`, which grows to what is needed and is given back when a hash needed more than its successor.
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
