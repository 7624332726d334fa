"""Moves waveforms between disk, arrays and time.

sound       Sound, SoundInfo           a waveform with its rate
reader      probe_audio, read_audio, read_blocks, read_tags
writer      AudioWriter, write_audio
mixing      to_mono, MixMeter          the one stereo rule
listing     find_sounds, list_sounds   the sound files of folders
source      FileSource, ArraySource    a sound heard in blocks, more than once
resample    resample, StreamResampler
levels      frame_rms, RmsAccumulator  level per frame
slicing     slice_silence, slice_segments, pieces_from_rms, forced_pieces
cutting     cut_into_clips, CutMeter   clips of a wanted length
labels      read_labels                named stretches; textgrid reads those of Praat
joining     crossfade, OverlapJoiner, fade_edges, centre_pad
assembly    plan_clips, assemble       render clip by clip, in a stream
compatible_assembly                    the same as so-vits-svc did it
loudness    LUFS and the loudness envelope
peaks       true peak, whole-sound limiter, peak normalisation
limiter     StreamLimiter              peaks below full scale, in blocks
trimming    trim_bounds, trim_silence
"""
