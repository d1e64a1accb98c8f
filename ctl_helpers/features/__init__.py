"""Features: MFCC, pitch and moments, functionals, their cache and normalisation."""
