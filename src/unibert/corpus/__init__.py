"""Wikipedia dumps and other text in; clean paragraphs, one Parquet file per language, out.

In the order in which the text goes through them:

Getting dumps
    mirror          which dumps a mirror has; requests that tell what may pass from what will not
    transfer        one file in as many requests as it takes, verified
    download        all files of many Wikipedias into a folder, none twice: `unibert corpus download`
    hub             Parquet data sets of the Hugging Face hub

Reading
    compression     bz2, gzip, Zstandard and plain files as streams of bytes
    slices          where one large dump can be cut, and the bytes of a slice
    export_xml      expat's view of a dump: header, pages
    export_parser   the XML of a slice, with its damage, to pages
    dump            the pages of a dump; what was lost is told and never raised
    texts           plain text, JSON lines and Parquet to samples
    sources         what both kinds have in common: files, samples; the articles of a dump as samples

Wikitext to paragraphs
    wikitext        all passes over a page, in order
    templates       the first pass: comments, extension tags, templates
    spelled         the templates that stand for words
    namespaces      names of files and categories in every language
    sections        lists of references and of links, told by their markup

Cleaning
    clean           the paper's five rules
    counting        tokens and words, for the fifth rule and for deduplication
    identify        paragraphs in another language (optional)
    fasttext_file   whether the model for that is whole

Making the corpus
    pipeline        the stage itself: `unibert corpus build`; begin to read here
    parts           one slice to one part: samples and counts
    executors       tasks side by side, on this machine
    clusters        the same on Ray and Slurm
    dedup           repeated paragraphs (optional): the steps
    dedup_plan      what they work on
    dedup_blocks    what each step does, by datatrove's blocks
    merge           the parts of a language to its file, without what is repeated

Telling about it
    statistics      counting, adding up, tables: `unibert corpus stats`
    card            the data set card

For pipelines of others
    blocks          our reader and rules as blocks of datatrove
"""
