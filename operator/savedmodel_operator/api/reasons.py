"""Every reason that a status, condition, event, verdict or exit may carry: one enum.

Each member has one paragraph in the troubleshooting page under the same name; a test compares
them. A reason is for machines and search; the sentence beside it is for people.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """UpperCamelCase words, stable across releases."""

    # source and storage
    SourceReady = "SourceReady"
    SourceEmpty = "SourceEmpty"
    SourcePending = "SourcePending"
    SecretMissing = "SecretMissing"
    SecretNotPermitted = "SecretNotPermitted"
    CABundleMissing = "CABundleMissing"
    Forbidden = "Forbidden"
    NoSuchBucket = "NoSuchBucket"
    Unreachable = "Unreachable"
    EndpointForbidden = "EndpointForbidden"
    StorageUnavailable = "StorageUnavailable"
    ObjectChanged = "ObjectChanged"
    ObjectGone = "ObjectGone"
    ChecksumMismatch = "ChecksumMismatch"
    TensorDamaged = "TensorDamaged"
    DiskFull = "DiskFull"
    DiskFailed = "DiskFailed"
    TooManyObjects = "TooManyObjects"
    HostileKey = "HostileKey"
    MalformedLock = "MalformedLock"
    Restorable = "Restorable"
    LockedBytesGone = "LockedBytesGone"
    SourceMoved = "SourceMoved"

    # versions
    Complete = "Complete"
    Incomplete = "Incomplete"
    Settling = "Settling"
    NotRead = "NotRead"
    Ambiguous = "Ambiguous"
    MalformedModel = "MalformedModel"
    VersionOverwritten = "VersionOverwritten"

    # gate
    GatePassed = "GatePassed"
    CheckErrored = "CheckErrored"
    TagsMissing = "TagsMissing"
    NoSignatures = "NoSignatures"
    SignatureMissing = "SignatureMissing"
    SignatureContract = "SignatureContract"
    IncompatibleSignature = "IncompatibleSignature"
    TensorMissing = "TensorMissing"
    TensorMismatch = "TensorMismatch"
    PythonOps = "PythonOps"
    OpMissing = "OpMissing"
    GraphVersion = "GraphVersion"
    WarmupUnusable = "WarmupUnusable"
    NotAvailable = "NotAvailable"
    MetadataMismatch = "MetadataMismatch"
    SizeOverBudget = "SizeOverBudget"
    TimeOverBudget = "TimeOverBudget"
    GoldenMismatch = "GoldenMismatch"
    AgreementMismatch = "AgreementMismatch"

    # rollout
    Serving = "Serving"
    FirstRevision = "FirstRevision"
    CandidateStarting = "CandidateStarting"
    CandidateUnschedulable = "CandidateUnschedulable"
    CapacityMissing = "CapacityMissing"
    Recreating = "Recreating"
    LiveChecksPending = "LiveChecksPending"
    RouterSyncing = "RouterSyncing"
    Holding = "Holding"
    Mirroring = "Mirroring"
    Paused = "Paused"
    Suspended = "Suspended"
    Promoted = "Promoted"
    Superseded = "Superseded"
    PinnedMissing = "PinnedMissing"
    UpToDate = "UpToDate"
    Rejected = "Rejected"
    RolledBack = "RolledBack"
    Aborted = "Aborted"
    CrashLoop = "CrashLoop"
    OutOfMemory = "OutOfMemory"
    FetchFailed = "FetchFailed"
    ImagePullFailed = "ImagePullFailed"
    PodsLost = "PodsLost"
    AnalysisFailed = "AnalysisFailed"
    AnalysisInconclusive = "AnalysisInconclusive"
    DeadlineExceeded = "DeadlineExceeded"
    StableDegraded = "StableDegraded"
    WeightChanged = "WeightChanged"

    # cluster
    NameTaken = "NameTaken"
    InvalidSpec = "InvalidSpec"
    ApiForbidden = "ApiForbidden"
    ReplicaFailure = "ReplicaFailure"
    DriftCorrected = "DriftCorrected"
    ConflictingWriter = "ConflictingWriter"
    RouterUnverified = "RouterUnverified"
    RouterVerified = "RouterVerified"

    # verbs
    ActionHandled = "ActionHandled"
    ActionRefused = "ActionRefused"
    ActionRecorded = "ActionRecorded"
