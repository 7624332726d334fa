"""espeak-ng through its C library: speech with the exact time of each phone, and words to phones."""

import ctypes
import ctypes.util
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from timbre.errors import TimbreError

_RETRIEVE_SYNCHRONOUSLY = 2
_PHONEME_EVENTS_IN_IPA = 0x0001 | 0x0002
_UTF8 = 1
_IPA = 0x02
_BUFFER_MS = 2000
_RATE, _PITCH, _RANGE = 1, 3, 4
_EVENT_PHONEME = 7
_FULL_NAME_BYTES = 8


class EspeakError(TimbreError):
    """The espeak-ng library is missing, has no such voice, or refused a text."""


class _Identity(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * _FULL_NAME_BYTES)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    ]


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Utterance:
    """Speech [N] int16 at 22050 Hz and its phones: (first sample, IPA as written by espeak-ng, "" for a pause)."""

    wave: npt.NDArray[np.int16]
    phones: list[tuple[int, str]]
    sample_rate_hz: int


class Espeak:
    """One initialised espeak-ng library; a process can hold only one."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._library = ctypes.CDLL(name)
        except OSError as error:
            raise EspeakError(
                f"the library {name} cannot be loaded; install espeak-ng (Debian: libespeak-ng1)"
            ) from error
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.sample_rate_hz = int(
            self._library.espeak_Initialize(_RETRIEVE_SYNCHRONOUSLY, _BUFFER_MS, None, _PHONEME_EVENTS_IN_IPA)
        )
        if self.sample_rate_hz <= 0:
            raise EspeakError("espeak-ng did not start; its data folder espeak-ng-data is missing or damaged")
        self._pieces: list[npt.NDArray[np.int16]] = []
        self._phones: list[tuple[int, str]] = []
        self._callback = _CALLBACK(self._receive)  # kept: the library holds only a pointer to it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, wave: int | None, n_samples: int, events: "ctypes._Pointer[_Event]") -> int:
        if wave and n_samples > 0:
            samples = ctypes.cast(wave, ctypes.POINTER(ctypes.c_int16))
            self._pieces.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        index = 0
        while events[index].type:
            event = events[index]
            if event.type == _EVENT_PHONEME:
                raw = ctypes.string_at(ctypes.addressof(event.id), _FULL_NAME_BYTES).split(b"\0")[0]
                self._phones.append((int(event.sample), raw.decode("utf-8", "ignore")))
            index += 1
        return 0

    def set_voice(self, name: str) -> None:
        """Choose a language, optionally with a variant: "de", "en-us+klatt2"; raises EspeakError if there is none."""
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise EspeakError(f"espeak-ng has no voice {name!r}; `espeak-ng --voices` lists what it has")

    def set_manner(self, *, words_per_minute: int, pitch: int, pitch_range: int) -> None:
        """Set the speaking rate (80..450), base pitch (0..100, 50 normal) and pitch range (0 monotone .. 100)."""
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            self._library.espeak_SetParameter(parameter, value, 0)

    def speak(self, text: str) -> Utterance:
        """Say `text` with the chosen voice and manner; a text without any sound gives an empty wave."""
        self._pieces.clear()
        self._phones.clear()
        raw = text.encode()
        code = self._library.espeak_Synth(raw, ctypes.c_size_t(len(raw) + 1), 0, 0, 0, _UTF8, None, None)
        if code != 0:
            raise EspeakError(f"espeak-ng refused a text of {len(raw)} bytes with code {code}: {text[:40]!r}")
        wave = np.concatenate(self._pieces) if self._pieces else np.zeros(0, dtype=np.int16)
        return Utterance(wave, list(self._phones), self.sample_rate_hz)

    def phonemes(self, text: str) -> str:
        """Return the IPA of `text` with the chosen voice, phones separated by "_", words by blanks."""
        raw = ctypes.create_string_buffer(text.encode())
        pointer = ctypes.c_void_p(ctypes.addressof(raw))
        separated = _IPA | (ord("_") << 8)
        clauses: list[str] = []
        while pointer.value:
            clauses.append(
                (self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, separated) or b"").decode()
            )
        return " ".join(clause for clause in clauses if clause)
