//! The list of one side's detectors, and all that follows from it.

/// Registers the detectors of one side. One line, `Type stored as "tag"`, makes a detector part of settings, runs and
/// files; the tag names it in files of fitted detectors and never changes.
///
/// Out come the enum of kinds, which settings name, and the enum of fitted detectors, which files hold.
macro_rules! registry {
    (
        $(#[$kind_doc:meta])*
        kinds $KindName:ident,
        $(#[$fitted_doc:meta])*
        fitted $Fitted:ident,
        normal $Normal:ident,
        rows $Observations:ident,
        default $default:expr,
        combination $combination:expr,
        detectors {
            $($Detector:ident stored as $tag:literal,)+
        }
    ) => {
        $(#[$kind_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $KindName {
            $(#[doc = concat!("[`", stringify!($Detector), "`].")] $Detector,)+
        }

        $(#[$fitted_doc])*
        // Few of them exist, each for a whole run: their sizes may differ.
        #[allow(clippy::large_enum_variant)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(tag = "kind")]
        pub enum $Fitted {
            $(
                #[doc = concat!("A fitted [`", stringify!($Detector), "`].")]
                #[serde(rename = $tag)]
                $Detector($Detector),
            )+
        }

        impl $crate::detector::DetectorKind for $KindName {
            type Normal<'a> = $Normal<'a>;
            type Observations<'a> = $Observations<'a>;
            type Fitted = $Fitted;
            const ALL: &'static [Self] = &[$(Self::$Detector,)+];
            const DEFAULT: &'static [Self] = $default;
            const COMBINATION: $crate::calibration::combine::Combination = $combination;

            fn name(self) -> &'static str {
                match self {
                    $(Self::$Detector => <$Detector as $crate::detector::Detector>::NAME,)+
                }
            }

            fn needs(self) -> $crate::detector::Needs {
                match self {
                    $(Self::$Detector => <$Detector as $crate::detector::Detector>::NEEDS,)+
                }
            }

            fn fit(self, normal: &$Normal<'_>, seed: u64) -> Result<$Fitted, $crate::error::DetectorError> {
                $crate::error::DetectorError::rows(self.name(), self.needs().rows, normal.rows())?;
                Ok(match self {
                    $(Self::$Detector => $Fitted::$Detector($crate::detector::Detector::fit(normal, seed)?),)+
                })
            }
        }

        impl<'de> serde::Deserialize<'de> for $KindName {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                const NAMES: &[&str] = &[$(<$Detector as $crate::detector::Detector>::NAME,)+];
                let name = String::deserialize(deserializer)?;
                match NAMES.iter().position(|known| *known == name) {
                    Some(place) => Ok(<Self as $crate::detector::DetectorKind>::ALL[place]),
                    None => Err(serde::de::Error::unknown_variant(&name, NAMES)),
                }
            }
        }

        impl $Fitted {
            /// Which detector it is.
            pub fn kind(&self) -> $KindName {
                match self {
                    $(Self::$Detector(_) => $KindName::$Detector,)+
                }
            }
        }

        impl $crate::detector::Score<$Observations<'_>> for $Fitted {
            fn score(&self, rows: &$Observations<'_>) -> Result<Vec<f64>, $crate::error::DetectorError> {
                match self {
                    $(Self::$Detector(detector) => $crate::detector::Detector::score(detector, rows),)+
                }
            }
        }

        impl $crate::file::CheckStored for $Fitted {
            fn check(&self) -> Result<(), $crate::error::DetectorError> {
                match self {
                    $(Self::$Detector(detector) => $crate::detector::Detector::check(detector),)+
                }
            }
        }
    };
}

pub(crate) use registry;
