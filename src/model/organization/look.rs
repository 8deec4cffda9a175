//! How an organization's pages look: a logo beside its name, and a colour of its own.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::value::words::word_enum;

/// The largest logo, in bytes. It is sent with the stylesheet, and a page must stay small.
pub const MAX_LOGO_BYTES: usize = 4 * 1024;

/// An sRGB colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color {
    /// Red, green and blue, 0 to 255.
    pub channels: [u8; 3],
}

/// The text is not a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a colour as \"#\" and six hexadecimal digits, such as \"#0b5d5b\"")]
pub struct ColorError;

impl FromStr for Color {
    type Err = ColorError;

    fn from_str(text: &str) -> Result<Self, ColorError> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6).ok_or(ColorError)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(ColorError);
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).map_err(|_| ColorError)?.to_be_bytes();
        Ok(Self { channels: [red, green, blue] })
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.channels;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

/// The colour of links and buttons, on a light and on a dark background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accent {
    /// On a light background.
    pub light: Color,
    /// On a dark background.
    pub dark: Color,
}

word_enum! {
    /// The image format of a logo.
    LogoKind {
        /// PNG.
        Png = "image/png",
        /// JPEG.
        Jpeg = "image/jpeg",
        /// WebP.
        Webp = "image/webp",
        /// SVG. As an image in a stylesheet it runs no script and loads nothing.
        Svg = "image/svg+xml",
    }
}

/// A small image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logo {
    kind: LogoKind,
    bytes: Vec<u8>,
}

/// Why something cannot be a logo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogoError {
    /// Larger than [`MAX_LOGO_BYTES`].
    #[error(
        "a logo has 4 KiB at most; draw it as SVG, or make the picture smaller (96 pixels high is enough)"
    )]
    TooLarge,
    /// Not one of the supported formats.
    #[error("a logo is a picture in PNG, SVG, WebP or JPEG")]
    Kind,
    /// Not written as an export writes it.
    #[error("write a logo as data:image/…;base64,…, as export does, or name a file with logo_file")]
    Notation,
}

impl Logo {
    /// Reads an image file.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, LogoError> {
        if bytes.len() > MAX_LOGO_BYTES {
            return Err(LogoError::TooLarge);
        }
        let kind = kind_of(&bytes).ok_or(LogoError::Kind)?;
        Ok(Self { kind, bytes })
    }
}

/// The format that the first bytes show. An SVG is read as text.
fn kind_of(bytes: &[u8]) -> Option<LogoKind> {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(LogoKind::Png),
        [0xff, 0xd8, 0xff, ..] => Some(LogoKind::Jpeg),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(LogoKind::Webp),
        _ => {
            let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
            let is_svg = ["<svg", "<?xml", "<!--"].iter().any(|start| text.starts_with(start))
                && text.contains("<svg")
                && text.trim_end().ends_with("</svg>");
            is_svg.then_some(LogoKind::Svg)
        }
    }
}

impl fmt::Display for Logo {
    /// A `data:` URL (RFC 2397), with letters, digits and `:/;,+=` only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data:{};base64,{}", self.kind.as_str(), STANDARD.encode(&self.bytes))
    }
}

impl FromStr for Logo {
    type Err = LogoError;

    fn from_str(text: &str) -> Result<Self, LogoError> {
        let rest = text.strip_prefix("data:").ok_or(LogoError::Notation)?;
        let (kind, encoded) = rest.split_once(";base64,").ok_or(LogoError::Notation)?;
        if encoded.len() > MAX_LOGO_BYTES * 4 / 3 + 4 {
            return Err(LogoError::TooLarge);
        }
        let logo = Self::from_bytes(STANDARD.decode(encoded).map_err(|_| LogoError::Notation)?)?;
        if logo.kind.as_str() == kind { Ok(logo) } else { Err(LogoError::Kind) }
    }
}

/// An organization's choices for its pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Its colour; `None` for the deployment's.
    pub accent: Option<Accent>,
    /// Its logo; `None` for the broker's mark.
    pub logo: Option<Logo>,
}

impl Look {
    /// Whether the organization has chosen nothing.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and more";

    #[test]
    fn a_colour_is_six_digits_and_nothing_else() {
        assert_eq!("#0B5d5b".parse::<Color>().unwrap().to_string(), "#0b5d5b");
        for text in ["", "#", "0b5d5b", "#0b5d5", "#0b5d5b0", "#0b5d5g", "#+b5d5b", "red", "#0b5d5b;}"] {
            assert_eq!(text.parse::<Color>(), Err(ColorError), "{text}");
        }
    }

    #[test]
    fn a_logo_is_a_small_picture() {
        for (bytes, kind) in [
            (PNG, Ok("image/png")),
            (b"\xff\xd8\xff\xe0 jpeg", Ok("image/jpeg")),
            (b"RIFF\x10\x00\x00\x00WEBPVP8 ", Ok("image/webp")),
            (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>\n", Ok("image/svg+xml")),
            (b"\xef\xbb\xbf<?xml version='1.0'?><svg></svg>", Ok("image/svg+xml")),
            (b"<html><svg></svg>", Err(LogoError::Kind)),
            (b"<svg>", Err(LogoError::Kind)),
            (b"GIF89a", Err(LogoError::Kind)),
            (b"", Err(LogoError::Kind)),
            (b"\xff\xfe<\0s\0v\0g\0", Err(LogoError::Kind)),
        ] {
            let read = Logo::from_bytes(bytes.to_vec()).map(|logo| logo.kind.as_str());
            assert_eq!(read, kind, "{}", String::from_utf8_lossy(bytes));
        }
        let mut large = PNG.to_vec();
        large.resize(MAX_LOGO_BYTES, 0);
        assert!(Logo::from_bytes(large.clone()).is_ok());
        large.push(0);
        assert_eq!(Logo::from_bytes(large), Err(LogoError::TooLarge));
    }

    #[test]
    fn a_logo_is_read_as_it_is_written_and_holds_nothing_that_a_stylesheet_would_read() {
        let logo = Logo::from_bytes(b"<svg>\"'()\\</style></svg>".to_vec()).unwrap();
        let text = logo.to_string();
        assert_eq!(text.parse::<Logo>().unwrap(), logo);
        let safe = |letter: char| letter.is_ascii_alphanumeric() || ":/;,+=".contains(letter);
        assert!(text.chars().all(safe), "{text}");
        for (text, error) in [
            ("https://acme.test/logo.png", LogoError::Notation),
            ("data:image/png,abc", LogoError::Notation),
            ("data:image/png;base64,***", LogoError::Notation),
            (text.replace("svg+xml", "png").as_str(), LogoError::Kind),
            (format!("data:image/png;base64,{}", "A".repeat(12_000)).as_str(), LogoError::TooLarge),
        ] {
            assert_eq!(text.parse::<Logo>(), Err(error), "{text}");
        }
    }
}
