"""Files and arrays become another voice: scan once, render in chunks, write as it comes."""
