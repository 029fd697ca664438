"""The command line: ``fairlead NOUN VERB``. Results on stdout, everything else on stderr."""
